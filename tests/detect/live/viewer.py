"""A browser for tests: it looks at the page of a live session while that runs."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from pcsc_d2.detect import ActionDetector, ClipDetections, DetectOptions
from pcsc_d2.detect.live.broadcast import Status
from pcsc_d2.detect.live.capture import Capture
from pcsc_d2.detect.live.feeds import feed_of
from pcsc_d2.detect.live.session import LiveOptions, run_live
from tests.square_model import SquareModel


class Slow(SquareModel):
    """Takes longer for a key frame than six frames last."""

    def __call__(
        self, clips: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]
    ) -> list[ClipDetections]:
        time.sleep(0.25)
        return super().__call__(clips, size)


def ask(address: str, path: str, host: str | None = None) -> http.client.HTTPResponse:
    name, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    connection = http.client.HTTPConnection(name, int(port), timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    return connection.getresponse()


def pictures(address: str) -> Iterator[np.ndarray]:
    """What a browser shows of the stream, one after the other."""
    stream = ask(address, "/stream")
    assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
    while line := stream.readline():
        if line.startswith(b"Content-Length"):
            stream.readline()
            data = np.frombuffer(stream.read(int(line.split(b":")[1])), np.uint8)
            yield cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


class Viewer:
    """Looks at the page while a session runs in this thread.

    Attributes:
        seen: pictures.
        times: at which they were there, by ``time.monotonic``.
        states: what the page said then.
        page: its HTML.
    """

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self.times: list[float] = []
        self.states: list[dict] = []
        self.page = ""

    def __call__(self, line: str) -> None:
        self.address = line.split()[1]
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        self.page = ask(self.address, "/").read().decode()
        for picture in pictures(self.address):
            self.seen.append(picture)
            self.times.append(time.monotonic())
            with suppress(OSError):  # the session is over
                self.states.append(self.status())

    def status(self) -> dict:
        """What the page says now."""
        return json.loads(ask(self.address, "/status").read())


def watch(
    source: Path | str, model: SquareModel, viewer: Viewer | None = None, **options: object
) -> tuple[Viewer, Status]:
    """Run a session on a file or an address until it ends."""
    viewer, capture = viewer or Viewer(), Capture(feed_of(str(source)))
    detector = ActionDetector(model, DetectOptions(batch=1))
    status = run_live(capture, detector, LiveOptions(port=0, **options), viewer)
    viewer.thread.join(timeout=30)
    assert not viewer.thread.is_alive()
    return viewer, status
