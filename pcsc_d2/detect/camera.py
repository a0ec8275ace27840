"""A camera as a source, which keeps what it showed to be gone through again."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import cv2

from pcsc_d2.detect.sources import FileSource, Frame, Source
from pcsc_d2.utils.background import background
from pcsc_d2.video import VideoError
from pcsc_d2.video.writing import video_writer

_FRAMES_AHEAD = 8


class CameraSource:
    """A camera by number, until it ends or ``end`` seconds have passed; times are the clock's.

    Args:
        device: its number.
        keep: the video file that its frames are written to.
        end: seconds.

    Raises:
        VideoError: there is no such camera, or it gives no picture.
    """

    expected, problem = None, ""

    def __init__(self, device: int, keep: Path, end: float = float("inf")) -> None:
        self.name, self.end, self._keep = f"camera{device}", end, keep
        self._stopped = threading.Event()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error says it
        self._camera = cv2.VideoCapture(device)
        if not self._camera.isOpened():
            raise VideoError(f"camera {device}", "cannot be opened; is it there, and free?")
        self.rate = self._camera.get(cv2.CAP_PROP_FPS) or 25.0

    def stop(self) -> None:
        """Show no more frames, as if the camera had ended by itself."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Frame]:
        # In a thread, so that the camera does not wait for the encoder.
        with closing(background(self._kept(), _FRAMES_AHEAD)) as frames:
            yield from frames

    def again(self) -> Source:
        """See ``Source``."""
        return FileSource(self._keep)

    def _kept(self) -> Iterator[Frame]:
        """Each frame after it was written; the file is whole when nobody wants more."""
        with (
            closing(self._shown()) as frames,
            video_writer(self._keep, self.rate, quality=16, preset="ultrafast") as write,
        ):
            for frame in frames:
                write(frame.pixels)
                try:
                    yield frame
                except GeneratorExit:
                    break

    def _shown(self) -> Iterator[Frame]:
        began = None
        try:
            for number in itertools.count(1):
                fine, image = self._camera.read()
                now = time.monotonic()
                began = now if began is None else began
                if not fine or now - began >= self.end or self._stopped.is_set():
                    break
                yield Frame(number, now - began, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        finally:
            self._camera.release()


@contextmanager
def interrupt_stops(source: Source) -> Iterator[None]:
    """While a source runs that can be stopped, as cameras can, the first Ctrl-C does so.

    The next one ends the program.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not hasattr(source, "stop") or not in_main:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        source.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
