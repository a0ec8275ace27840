"""A video as a folder of frames: jpg or png in natural order (frame 10 follows frame 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.files import is_image_file


class FolderReader:
    """A folder of frames; a handle is the path of an image."""

    rate = 25.0

    def __init__(self, path: Path) -> None:
        self.path = path
        frames = [p for p in path.iterdir() if is_image_file(p.name)]
        if not frames:
            raise VideoError(path, "the folder holds no frames (jpg or png)")
        self.frames = sorted(frames, key=_natural_order)
        self.size = _read_image(self.frames[0]).shape[:2]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.frames)

    def pixels(self, handle: Path) -> np.ndarray:
        image = _read_image(handle)
        if image.shape[:2] != self.size:
            raise VideoError(handle, "is of another size than the folder's first frame")
        return image

    def walk_from(self, index: int, here: int | None) -> tuple[int, Iterator[Path]] | None:
        return None if index == here else (index, iter(self.frames[index:]))

    def count(self) -> int:
        return len(self.frames)

    def close(self) -> None:
        pass


def _natural_order(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(path, "the frame cannot be read; extract it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
