"""Going through a source while noting its frames, and keeping a live one for the second pass."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pcsc_d2.detect.sources import FileSource, Frame, Source
from pcsc_d2.detect.video_result import Recorder
from pcsc_d2.utils.background import background
from pcsc_d2.video.writing import video_writer

_FRAMES_AHEAD = 8


class RecordedSource:
    """A source whose frames are noted by a recorder as they pass.

    Args:
        source: to go through, once.
        recorder: told of every frame.
        keep: where the frames of a live source go, as a video.
    """

    def __init__(self, source: Source, recorder: Recorder, keep: Path) -> None:
        self._source, self._recorder, self._keep = source, recorder, keep
        self.name, self.rate, self.live = source.name, source.rate, source.live
        self.expected = source.expected
        self._stopped = threading.Event()

    @property
    def problem(self) -> str:
        return self._source.problem

    def stop(self) -> None:
        """End a live source as if it had ended by itself."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Frame]:
        frames = iter(self._source)
        if self.live:
            # In a thread, so that a camera does not wait for the encoder.
            frames = background(_kept(frames, self._keep, self.rate), _FRAMES_AHEAD)
        try:
            for frame in frames:
                self._recorder.see(frame.number, frame.time, frame.pixels.shape[:2])
                yield frame
                if self._stopped.is_set():
                    break
        finally:
            frames.close()

    def again(self) -> Source:
        """The same frames once more."""
        return FileSource(self._keep) if self.live else self._source


def _kept(frames: Iterator[Frame], path: Path, rate: float) -> Iterator[Frame]:
    """Pass frames on, each written to a video before; the video is whole when nobody wants more."""
    try:
        with video_writer(path, rate, quality=16, preset="ultrafast") as write:
            for frame in frames:
                write(frame.pixels)
                try:
                    yield frame
                except GeneratorExit:
                    break
    finally:
        frames.close()


@contextmanager
def interrupt_stops(source: RecordedSource) -> Iterator[None]:
    """While a live source runs, the first Ctrl-C ends it and the next one ends the program."""
    in_main = threading.current_thread() is threading.main_thread()
    if not source.live or not in_main:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> Any:
        source.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
