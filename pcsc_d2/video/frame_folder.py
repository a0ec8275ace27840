"""A video as a folder of frames, jpg or png: the number in a frame's name is its number.

Numbers count from 1, or from 0 where there is a frame 0. A number without a file repeats the frame
before it (the first one where there is none), so that those behind keep their places. Names
without numbers of their own are taken in natural order (frame 10 follows frame 9).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.files import is_image_file

logger = logging.getLogger(__name__)
# Numbers that there may be for each file, and besides: beyond that they are no frame numbers.
_MOST_NUMBERS, _NUMBERS_BESIDES = 10, 1000


class FolderReader:
    """A folder of frames; a handle is the path of an image."""

    rate = 25.0

    def __init__(self, path: Path) -> None:
        self.path = path
        frames = [p for p in path.iterdir() if is_image_file(p.name)]
        if not frames:
            raise VideoError(path, "the folder holds no frames (jpg or png)")
        self.frames = _by_number(sorted(frames, key=_natural_order))
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


def _by_number(frames: list[Path]) -> list[Path]:
    """The image of every frame from the first on."""
    numbers = [re.findall(r"\d+", path.stem)[-1:] for path in frames]
    known = {int(found[0]): path for found, path in zip(numbers, frames) if found}
    first = min(known, default=1)
    last = max(known, default=0)
    most = _MOST_NUMBERS * len(frames) + _NUMBERS_BESIDES
    if len(known) < len(frames) or last - min(first, 1) + 1 > most:
        return frames
    places: list[Path] = []
    for number in range(min(first, 1), last + 1):
        places.append(known.get(number) or (places[-1] if places else known[first]))
    if len(places) > len(frames):
        absent = next(n for n in range(min(first, 1), last + 1) if n not in known)
        missing = f"{len(places) - len(frames):,} frames are missing (the first is {absent})"
        logger.warning("%s: %s; the frames before stand for them", frames[0].parent, missing)
    return places


def _natural_order(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read_image(path: Path) -> np.ndarray:
    # Not cv2.imread, which takes no name that is not UTF-8.
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise VideoError(path, "the frame cannot be read; extract it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
