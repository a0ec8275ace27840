"""Videos that a browser plays: H.264 in MP4."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import IO

import av
import numpy as np

from pcsc_d2.utils.files import atomic_write

# Seconds; what video files commonly count in.
_TICK = Fraction(1, 90000)
# With macroblock trees (mbtree) and threads the same frames come out otherwise from run to run.
# Without them equal quality takes a rate factor that is larger by about two.
_SAME_EACH_TIME = {"x264-params": "mbtree=0"}
Write = Callable[..., None]


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    rate: float = 25,
    quality: int = 22,
    times: Iterable[float] | None = None,
    preset: str = "medium",
    threads: int = 0,
) -> int:
    """Write an MP4 that browsers play (H.264, yuv420p, index first), atomically.

    The same frames give the same file, with as many threads. An odd height or width gets one more
    row or column, a copy of the last, as the format needs.

    Args:
        path: of the file.
        frames: (H, W, 3) uint8 RGB of one size.
        rate: frames per second.
        quality: x264's constant rate factor; lower is better and larger, 10 is near lossless.
        times: seconds at which the frames are shown, ascending, for a rate that varies.
        preset: x264's; a faster one makes larger files.
        threads: of the encoder, whose choices depend on it; 0 for as many as suit the machine.

    Returns:
        The number of frames.

    Raises:
        ValueError: there are no frames.
        OSError: the file cannot be written.
    """
    count, times = 0, None if times is None else iter(times)
    with video_writer(path, rate, quality, preset, threads, timed=times is not None) as write:
        for frame in frames:
            write(frame, None if times is None else next(times))
            count += 1
    return count


@contextmanager
def video_writer(
    path: str | os.PathLike[str],
    rate: float = 25,
    quality: int = 22,
    preset: str = "medium",
    threads: int = 0,
    timed: bool = False,
) -> Iterator[Write]:
    """Write a video frame by frame: give a function that takes a frame and, if ``timed``, its time.

    Arguments and errors as in ``write_video``; the file is there when the block ends without one.
    """
    with atomic_write(path, "w+b") as file, _container(sink := _Sink(file)) as container:
        options = {"crf": str(quality), "preset": preset, **_SAME_EACH_TIME}
        fraction = Fraction(rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=fraction, options=options)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = threads
        if timed:
            stream.codec_context.time_base = _TICK
        encoder = _Encoder(container, stream, sink)
        yield encoder.write
        if not encoder.count:
            raise ValueError(f"{path}: there are no frames to write")
        container.mux(stream.encode())


class _Encoder:
    """Frames into a stream, each with the next number or with a time.

    Attributes:
        count: of frames so far.
    """

    def __init__(
        self, container: av.container.OutputContainer, stream: av.VideoStream, sink: _Sink
    ) -> None:
        self._container, self._stream, self._sink = container, stream, sink
        self.count, self._tick = 0, -1

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not self.count:
            self._stream.height, self._stream.width = frame.shape[:2]
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        if time is not None:
            self._tick = max(round(time / _TICK), self._tick + 1)
            picture.pts, picture.time_base = self._tick, _TICK
        self._container.mux(self._stream.encode(picture))
        self._sink.check()
        self.count += 1


class _Sink:
    """A file for PyAV, which prints some errors of its own in place of the file's.

    So it is told of none: the first one is kept, and nothing is written behind it.

    Attributes:
        name: by which FFmpeg opens the file once more, to put the index first.
        error: what a write raised, such as that the disk is full.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.name, self.error = file, file.name, None

    def write(self, data: bytes) -> int:
        try:
            if self.error is None:
                self._file.write(data)
                self._file.flush()  # FFmpeg is going to read the file by its name
        except OSError as error:
            self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        # What could not be written would be tried again.
        return self._file.seek(offset, whence) if self.error is None else offset

    def tell(self) -> int:
        return self._file.tell() if self.error is None else 0

    def check(self) -> None:
        """Raise what a write raised."""
        if self.error is not None:
            raise self.error


@contextmanager
def _container(sink: _Sink) -> Iterator[av.container.OutputContainer]:
    """An MP4 whose index comes first; raises what the file raises."""
    try:
        with av.open(sink, "w", format="mp4", options={"movflags": "+faststart"}) as container:
            yield container
    except Exception:
        sink.check()
        raise
    sink.check()
