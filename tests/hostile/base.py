"""Good inputs that the hostile ones are made of, and what a family of those is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.tube_makers import build_tubes

# What code that an input holds would make, in the folder that it is read in.
CANARY = "ran.mp4"
# A command line, or a function that reads.
Work = list[Any] | Callable[[], object]


@dataclass(frozen=True)
class Base:
    """Good inputs.

    Attributes:
        videos: bytes by suffix, of 8 frames.
        long: an H.264 video of 40 frames, which fill most of it.
        tubes, detections: arrays of such files.
        truth: what a pickle of ground truth holds.
    """

    videos: dict[str, bytes]
    long: bytes
    tubes: dict[str, np.ndarray]
    detections: dict[str, np.ndarray]
    truth: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, encode: Callable, gray: Callable, noise: Callable) -> Base:
        """Encode and gather them, once."""
        codecs = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video"}
        videos = {
            suffix: encode(folder / f"a{suffix}", gray(8), codec).read_bytes()
            for suffix, codec in codecs.items()
        }
        long = encode(folder / "long.mp4", noise(40)).read_bytes()
        build_tubes([(0, 1, 0.5, 1, [[1, 2, 30, 40]] * 5)]).save(folder / "tubes.npz")
        with np.load(folder / "tubes.npz") as file:
            tubes = dict(file)
        return cls(videos, long, tubes, _detections(), _truth())


Family = Callable[[Path, random.Random, Base], tuple[Path, Work]]
"""(folder, random numbers, good inputs) -> the path that an error is to name, and who reads it."""


def written(path: Path, data: bytes) -> Path:
    """A file of these bytes."""
    path.write_bytes(data)
    return path


def _detections() -> dict[str, np.ndarray]:
    return {
        "videos": np.array(["a", "b"]),
        "labels": np.array(["run", "jump"]),
        "nframes": np.array([2, 1], np.int32),
        "video_ptr": np.array([0, 2, 3]),
        "frame_ptr": np.array([0, 1, 2, 3]),
        "boxes": np.float32([[1, 2, 30, 40]] * 3),
        "scores": np.float32([0.5, 0.4, 0.3]),
        "classes": np.int16([0, 1, 0]),
    }


def _truth() -> dict[str, Any]:
    tube = np.float32([[f, 1, 2, 30, 40] for f in range(1, 5)])
    return {
        "labels": ["run", "jump"],
        "gttubes": {"run/a": {0: [tube, tube[:2]]}},
        "nframes": {"run/a": 8},
        "train_videos": [["run/a"]],
        "test_videos": [["run/a"]],
        "resolution": {"run/a": (48, 64)},
    }
