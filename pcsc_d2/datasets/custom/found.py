"""What ``pcsc detect`` found, as ground truth to be corrected."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pcsc_d2.datasets.custom.rows import plain_text
from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.utils.parsing import box_numbers, reading, real_number, whole_number
from pcsc_d2.utils.progress import progress_bar

TUBES = "tubes.json"


class FoundTube(NamedTuple):
    """A tube of a ``tubes.json``; boxes (n, 4) are inclusive, ``start`` is 1-based."""

    label: str
    score: float
    start: int
    boxes: np.ndarray
    scores: np.ndarray


class FoundVideo(NamedTuple):
    """A video of an output folder.

    Attributes:
        name: its folder below the output folder, which mirrors the archive.
        frames: that it has at least.
        height, width: pixels.
        rate: frames per second.
        labels: classes that the model knows; files of earlier versions do not say.
        tubes: what was found.
    """

    name: str
    frames: int
    height: int
    width: int
    rate: float
    labels: list[str]
    tubes: list[FoundTube]


@dataclass(frozen=True)
class Found:
    """An output folder.

    Attributes:
        truth: its tubes as annotations; their scores are what they were detected with.
        rates: frames per second of each video.
    """

    truth: GroundTruth
    rates: Mapping[str, float]


def read_found(
    out: Path, min_score: float = 0.0, labels: Sequence[str] = (), progress: bool = False
) -> Found:
    """Read the output folder of ``pcsc detect``.

    Args:
        out: the folder.
        min_score: tubes of lower scores are left out.
        labels: classes that are kept; empty keeps all.
        progress: draw a bar.

    Raises:
        FileNotFoundError: no results are there.
        ValueError: a file that cannot be read, or no tube is left.
    """
    paths = sorted(_files(out))
    if not paths:
        raise FileNotFoundError(f"{out}: no results of pcsc detect there (<video>/{TUBES})")
    with progress_bar(len(paths), "reading", "video", progress) as bar:
        videos = []
        for path in paths:
            videos.append(_read_video(out, path))
            bar.update(1)
    kept = [
        (i, tube)
        for i, video in enumerate(videos)
        for tube in video.tubes
        if tube.score >= min_score and (not labels or tube.label in labels)
    ]
    if not kept:
        raise ValueError(f"{out}: not one tube is left; lower --score, or name other --classes")
    return Found(_truth(videos, kept), {video.name: video.rate for video in videos})


def _files(out: Path) -> Iterator[Path]:
    for place, below, files in os.walk(out):
        below[:] = [name for name in below if not name.startswith(".")]
        if Path(place) != out and TUBES in files:
            yield Path(place, TUBES)


def _read_video(out: Path, path: Path) -> FoundVideo:
    with reading(path, "tubes"):
        content = json.loads(path.read_text(encoding="utf-8"))
        tubes = [_tube(about) for about in content["tubes"]]
        frames = whole_number(content["frames"])
        seconds = real_number(content["end"]) - real_number(content["start"])
        last = max([frames, *(tube.start + len(tube.boxes) - 1 for tube in tubes)])
        name, rate = path.parent.relative_to(out).as_posix(), frames / seconds
        size = whole_number(content["height"]), whole_number(content["width"])
        if not (math.isfinite(rate) and rate > 0 and min(size) > 0 and whole_number(last) > 0):
            raise ValueError(f"{last} frames of {size[0]} x {size[1]} at {rate} frames per second")
        known = [plain_text(label) for label in content.get("labels", [])]
        return FoundVideo(name, last, *size, rate, known, tubes)


def _tube(about: Mapping[str, Any]) -> FoundTube:
    boxes = np.array([box_numbers(box) for box in about["boxes"]], np.float32)
    scores = np.array([real_number(score) for score in about["scores"]], np.float32)
    if not len(boxes) or len(scores) != len(boxes):
        raise ValueError(f"tube {about['tube']}: {len(boxes)} boxes and {len(scores)} scores")
    start, score = whole_number(about["start_frame"]), real_number(about["score"])
    if start < 1:
        raise ValueError(f"tube {about['tube']}: begins at frame {start}")
    return FoundTube(plain_text(about["label"]), score, start, boxes, scores)


def _truth(videos: Sequence[FoundVideo], kept: Sequence[tuple[int, FoundTube]]) -> GroundTruth:
    names = np.array([video.name for video in videos], np.str_)
    # The model's, in its order, so that what is corrected fits it.
    known = dict.fromkeys(label for video in videos for label in video.labels)
    labels = list(known | dict.fromkeys(sorted({tube.label for _, tube in kept})))
    tubes = Tubes(
        names,
        labels,
        np.array([video for video, _ in kept]),
        np.array([labels.index(tube.label) for _, tube in kept]),
        np.array([tube.score for _, tube in kept]),
        np.array([tube.start for _, tube in kept]),
        np.cumsum([0, *(len(tube.boxes) for _, tube in kept)]),
        np.concatenate([tube.boxes for _, tube in kept]),
        np.concatenate([tube.scores for _, tube in kept]),
    )
    sizes = [(video.height, video.width) for video in videos]
    return GroundTruth(labels, names, [v.frames for v in videos], sizes, tubes, [], [])
