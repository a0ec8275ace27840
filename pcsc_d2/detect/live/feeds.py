"""Where live frames come from: cameras, addresses of streams, and files played in real time.

A feed is a function that opens it and gives its frames, as fast as they are there; it raises
VideoError where it cannot be opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from pcsc_d2.detect.sources import FileSource
from pcsc_d2.utils.text import printable
from pcsc_d2.video import VideoError
from pcsc_d2.video.opening import VideoUrl, video_stream, why

Frames = Iterator[np.ndarray]
# Seconds without an answer after which a stream is opened anew.
_PATIENCE = 10.0
_SCHEMES = {"rtsp": "rtp,rtsp,rtsps,srtp,tcp,udp,tls", "http": "http,tcp", "https": "https,tcp,tls"}
_SCHEMES["rtsps"] = _SCHEMES["rtsp"]


@dataclass(frozen=True)
class Feed:
    """A live source.

    Attributes:
        name: for people; without the password of an address.
        open: gives (H, W, 3) uint8 RGB frames until it ends.
        comes_back: it is opened again when it ends; a file is over then.
    """

    name: str
    open: Callable[[], Frames]
    comes_back: bool = True


def feed_of(text: str) -> Feed:
    """The feed of a camera's number, an address (rtsp, http) or a file.

    Raises:
        ValueError: an address of another kind.
        VideoError: no such file.
    """
    if text.isdecimal() and not Path(text).exists():
        return Feed(f"camera {text}", lambda: _camera(int(text)))
    scheme, found, _ = text.partition("://")
    if found:
        if scheme.lower() not in _SCHEMES:
            raise ValueError(f"{text}: expected {', '.join(_SCHEMES)} as the kind of address")
        return Feed(_without_login(text), lambda: _stream(text, _SCHEMES[scheme.lower()]))
    FileSource(Path(text))  # says what is wrong with it
    return Feed(printable(Path(text).name), lambda: _file(Path(text)), comes_back=False)


def _without_login(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ValueError(f"{printable(address)}: is no address ({error})") from None
    return printable(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())


def _camera(device: int) -> Frames:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error says it
    camera = cv2.VideoCapture(device)
    try:
        if not camera.isOpened():
            raise VideoError(f"camera {device}", "cannot be opened; is it there, and free?")
        while True:
            fine, image = camera.read()
            if not fine:
                return
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()


def _stream(address: str, protocols: str) -> Frames:
    # What is looked at on opening is shown too: without it, what comes could not be decoded
    # before the next whole picture, which cameras send every few seconds.
    options = {"rtsp_transport": "tcp", "protocol_whitelist": protocols}
    name = _without_login(address)
    with _told(name), av.open(address, options=options, timeout=_PATIENCE) as container:
        stream = video_stream(VideoUrl(name), container)
        stream.thread_type = "NONE"  # threads would hold frames back
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Errors of FFmpeg as those of a video, without the login that they could repeat."""
    try:
        yield
    except (av.FFmpegError, EOFError) as error:
        raise VideoError(name, f"is not there, or no video ({why(error)})") from None


def _file(path: Path) -> Frames:
    """The frames of a file when they would be shown."""
    began = time.monotonic()
    for frame in FileSource(path):
        wait = began + frame.time - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield frame.pixels
