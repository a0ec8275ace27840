"""Where frames come from: files, folders of frames, arrays (``camera`` has the cameras)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import av
import numpy as np

from pcsc_d2.utils.text import printable
from pcsc_d2.video import VideoError
from pcsc_d2.video.decoding import FileReader, FrameReader, open_reader
from pcsc_d2.video.opening import VideoUrl

# How much of what a header promises may be missing: sound is often a little longer.
_TOLERANCE, _TOLERANCE_SECONDS = 0.05, 0.5
# Of a video without sound.
_TOLERANCE_FRAMES = 2.5


class Frame(NamedTuple):
    """A frame.

    Attributes:
        number: 1-based, of the whole video.
        time: seconds since the video's first frame at which it is shown.
        pixels: (H, W, 3) uint8 RGB.
    """

    number: int
    time: float
    pixels: np.ndarray


class Source(Protocol):
    """A video to go through.

    Attributes:
        name: for people.
        rate: frames per second, nominal.
        expected: frames that it promises, or None; a header can be wrong.
        problem: what ended the video early, after iterating; empty if nothing did.
    """

    name: str
    rate: float
    expected: int | None
    problem: str

    def __iter__(self) -> Iterator[Frame]: ...

    def again(self) -> Source:
        """The same frames once more, after iterating."""
        ...


class FileSource:
    """A video file or a folder of frames, in order, each at the time it is shown.

    A video that breaks off gives the frames before that, and ``problem`` says so.

    Args:
        path: of the file or folder, or an address that is allowed.
        start, end: seconds; frames from the one to just before the other are given. Clips do not
            reach beyond them.
        rule: how frames are counted, see ``video.decoding``; every coded one, or that of a dataset.

    Raises:
        VideoError: nothing there, not a video, or (on iterating) not one frame.
    """

    def __init__(
        self,
        path: Path | VideoUrl,
        start: float = 0.0,
        end: float = float("inf"),
        rule: str = "coded",
    ) -> None:
        self.path, self.start, self.end, self.rule = path, start, end, rule
        self.name, self.problem = printable(path.name), ""
        reader = open_reader(path, rule)
        self.rate = reader.rate
        self._seconds = _promised(reader)
        self._tolerance = _tolerance(reader, self._seconds)
        reader.close()
        known = self._seconds or end < float("inf")
        last = min(end, self._seconds or float("inf"))
        self.expected = max(round((last - start) * self.rate), 1) if known else None

    def __iter__(self) -> Iterator[Frame]:
        self.problem, last = "", None
        try:
            for frame in self._frames():
                last = frame.time
                yield frame
        except VideoError as error:
            if last is None:
                raise
            self.problem = error.reason
        if last is None:
            raise VideoError(self.path, f"has no frame between {self.start} and {self.end} s")
        ended, promised = last + 1 / self.rate, min(self._seconds, self.end)
        if not self.problem and promised - ended > self._tolerance:
            self.problem = f"ends after {ended:.1f} of {promised:.1f} seconds; fetch it again"

    def again(self) -> FileSource:
        """See ``Source``."""
        return self

    def _frames(self) -> Iterator[Frame]:
        reader = open_reader(self.path, self.rule)
        clock = _Clock(reader.rate)
        try:
            for number, handle in enumerate(reader, start=1):
                moment = clock.at(getattr(handle, "time", None))
                if moment >= self.end:
                    break
                if moment >= self.start:
                    yield Frame(number, moment, reader.pixels(handle))
        finally:
            reader.close()


def _promised(reader: FrameReader) -> float:
    """The length in seconds by the header, without reading on; 0 where it does not say."""
    if not isinstance(reader, FileReader):
        return reader.count() / reader.rate
    stream, container = reader.stream, reader.container
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _tolerance(reader: FrameReader, promised: float) -> float:
    """How many seconds of what a header promises may be missing."""
    if isinstance(reader, FileReader) and len(reader.container.streams) > 1:
        return max(_TOLERANCE * promised, _TOLERANCE_SECONDS)
    return _TOLERANCE_FRAMES / reader.rate


class _Clock:
    """Presentation times that start at 0 and never go back, whatever the file says."""

    def __init__(self, rate: float) -> None:
        self._step, self._first, self._last = 1 / rate, None, None

    def at(self, stamp: float | None) -> float:
        if self._last is None:
            self._first, self._last = stamp, 0.0
            return 0.0
        guess = self._last + self._step
        known = stamp is not None and self._first is not None
        moment = float(stamp - self._first) if known else guess
        self._last = moment if moment > self._last else guess
        return self._last


class ArraySource:
    """Frames in memory, or from any iterable, such as a live stream.

    Args:
        frames: (H, W, 3) uint8 RGB, of one size.
        rate: frames per second.
    """

    problem, name = "", "frames"

    def __init__(self, frames: Iterable[np.ndarray], rate: float = 25.0) -> None:
        self._frames, self.rate = frames, rate
        self.expected = len(frames) if hasattr(frames, "__len__") else None

    def __iter__(self) -> Iterator[Frame]:
        for i, pixels in enumerate(self._frames):
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                got = f"{pixels.shape} {pixels.dtype}"
                raise ValueError(f"frame {i + 1} is {got}; expected (H, W, 3) uint8")
            yield Frame(i + 1, i / self.rate, pixels)

    def again(self) -> ArraySource:
        """See ``Source``; a stream that is over gives nothing."""
        return self
