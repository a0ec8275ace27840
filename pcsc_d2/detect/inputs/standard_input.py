"""Standard input as a file, so that it is read as files are."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pcsc_d2.detect.sources import FileSource
from pcsc_d2.video import VideoError

_CHUNK = 1 << 20


class _EnoughError(Exception):
    """Ctrl-C ended the input."""


def standard_input(folder: Path, start: float = 0.0, end: float = float("inf")) -> FileSource:
    """Standard input, written to a file before it is looked through.

    A stream that does not end is taken until Ctrl-C is pressed; what had come by then is looked
    through. It may fill half of the room that there is in the folder, so that the results fit.

    Args:
        folder: gets the file, ``stdin``, which the caller removes.
        start, end: see ``FileSource``.

    Raises:
        VideoError: nobody pipes anything in, there is more than has room, or it is no video.
        KeyboardInterrupt: Ctrl-C before anything came.
    """
    path, stream = folder / "stdin", sys.stdin.buffer
    if stream.isatty():
        raise VideoError("standard input", "is the keyboard; pipe a video in, or name a file")
    limit = shutil.disk_usage(folder).free // 2
    with open(path, "wb") as file:
        try:
            with _interrupt_ends():
                while chunk := stream.read1(_CHUNK):
                    if file.tell() + len(chunk) > limit:
                        room = f"the {limit / 1e9:.1f} GB that may be taken of {folder.parent}"
                        raise VideoError("standard input", f"is longer than {room}; name a file")
                    file.write(chunk)
        except _EnoughError:
            if not file.tell():
                raise KeyboardInterrupt from None
    return FileSource(path, start, end)


@contextmanager
def _interrupt_ends() -> Iterator[None]:
    """Let the first Ctrl-C end the block with ``_EnoughError``."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _EnoughError

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
