"""Maps of key frames that frozen trunks made, kept on disk in half precision.

    <folder>/about.json                       what made them
    <folder>/<flow key>[.mirrored].npy        one record for each key frame of a video

The record of a key frame: its number, the video's stamp and a map (C, H, W) float16 of each level.
The file of a video appears when it is complete.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch

from pcsc_d2.flow.store import video_stamp
from pcsc_d2.utils.files import atomic_write, load_array
from pcsc_d2.utils.parsing import reading

logger = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]
_FRAME, _STAMP = "frame", "stamp"


class FeatureStore:
    """The maps of one stream.

    Args:
        folder: for these maps alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, clip: dict, mirrored: bool) -> Path:
        """The file of a video.

        Args:
            clip: the dataset dict of any of its key frames.
            mirrored: whether its clips are seen in a mirror.
        """
        return self.folder / f"{clip['flow_key']}{'.mirrored' if mirrored else ''}.npy"

    def holds(self, clips: list[dict], mirrored: bool) -> bool:
        """Whether maps of some key frames of one video are there, made from its present file.

        A damaged file, which a warning names, is as none.
        """
        try:
            records = self._open(clips[0], mirrored)
        except ValueError as error:
            logger.warning("%s", error)
            return False
        if records is None or (records[_STAMP] != _stamp(clips[0])).any():
            return False
        return {clip["frame_index"] for clip in clips} <= set(records[_FRAME].tolist())

    def read(self, clip: dict, mirrored: bool) -> dict[str, torch.Tensor] | None:
        """The maps (C, H, W) float16 of a key frame by level; None where they are not there."""
        records = self._open(clip, mirrored)
        found = [] if records is None else np.flatnonzero(records[_FRAME] == clip["frame_index"])
        if not len(found):
            return None
        levels = [name for name in records.dtype.names if name not in (_FRAME, _STAMP)]
        return {level: torch.from_numpy(np.array(records[level][found[0]])) for level in levels}

    @contextmanager
    def create(
        self, clip: dict, mirrored: bool, number: int, shapes: Shapes
    ) -> Iterator[np.memmap]:
        """The empty records of a video, to be filled; they stay if the block succeeds.

        Args:
            number: of records. Those that are left as they are belong to no frame.
            shapes: (C, H, W) of each level.
        """
        kinds = [(level, "<f2", shape) for level, shape in shapes.items()]
        dtype = np.dtype([(_FRAME, "<i4"), (_STAMP, "<i8"), *kinds])
        with atomic_write(self.path(clip, mirrored)) as file:
            records = np.lib.format.open_memmap(file.name, "w+", dtype, (number,))
            _reserve(file)
            records[_STAMP] = _stamp(clip)
            yield records
            records.flush()

    def _open(self, clip: dict, mirrored: bool) -> np.ndarray | None:
        path = self.path(clip, mirrored)
        if not path.is_file():
            return None
        with reading(path, "maps (pcsc features makes it anew)"):
            records = load_array(path, mapped=True)
            names = records.dtype.names or ()
            numbers = [n for n in names if n in (_FRAME, _STAMP) and records.dtype[n].kind == "i"]
            maps = [n for n in names if records.dtype[n].base == np.float16]
            if records.ndim != 1 or len(numbers) != 2 or {*numbers, *maps} != {*names} or not maps:
                raise ValueError("it holds no records of key frames")
            return records


def _reserve(file: IO[bytes]) -> None:
    """Take the room of a file that is written through memory, where a full disk ends the process.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def fill(
    records: np.ndarray, frames: Iterable[int], maps: Mapping[str, torch.Tensor], first: int
) -> None:
    """Put the maps (N, C, H, W) of N key frames into the records from ``first`` on."""
    frames = list(frames)
    rows = slice(first, first + len(frames))
    for level, values in maps.items():
        records[level][rows] = values.half().cpu().numpy()
    records[_FRAME][rows] = frames


def _stamp(clip: dict) -> int:
    return video_stamp(clip["file_name"]) or 0
