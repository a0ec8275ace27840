"""A recording that never grows beyond what was asked for: the last minutes, a file for each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from pcsc_d2.utils.files import remove_leftovers
from pcsc_d2.video.writing import video_writer

_SECONDS = 60.0
_PATTERN = "live-*.mp4"


class Recording:
    """Writes pictures into files of a minute, and removes the oldest when there are too many.

    A file is there when its minute is over, or the recording is closed.

    Args:
        folder: is made.
        minutes: that are kept.
        rate: pictures per second, nominal.
        seconds: of a file.

    Raises:
        ValueError: not at least a minute.
        OSError: the folder cannot be made; on adding, the disk is full.
    """

    def __init__(
        self, folder: Path, minutes: int, rate: float = 25.0, seconds: float = _SECONDS
    ) -> None:
        if minutes < 1:
            raise ValueError(f"--record {minutes}: minutes that are kept, at least 1")
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, "live-*")
        self._folder, self._most, self._rate, self._seconds = folder, minutes, rate, seconds
        self._files = ExitStack()
        self._write = None
        self._began, self._size, self._count = 0.0, None, 0

    def add(self, picture: np.ndarray, moment: float) -> None:
        """Add a picture (H, W, 3) of a moment in seconds, which ascend."""
        over = moment - self._began >= self._seconds or picture.shape != self._size
        if self._write is None or over:
            self.close()
            self._open(moment)
        self._size = picture.shape
        self._write(picture, moment - self._began)

    def close(self) -> None:
        """Finish the file that is being written."""
        self._write = None
        self._files.close()
        kept = sorted(self._folder.glob(_PATTERN))
        for old in kept[: max(len(kept) - self._most, 0)]:
            old.unlink(missing_ok=True)

    def _open(self, moment: float) -> None:
        self._count += 1
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = self._folder / f"live-{stamp}-{self._count:05d}.mp4"
        options = {"preset": "ultrafast", "timed": True}
        self._write = self._files.enter_context(video_writer(path, self._rate, **options))
        self._began = moment
