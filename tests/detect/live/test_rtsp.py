"""A camera in the network, over real RTSP on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.detect import ActionDetector, DetectOptions
from pcsc_d2.detect.live.capture import Capture
from pcsc_d2.detect.live.feeds import feed_of
from pcsc_d2.detect.live.session import LiveOptions, run_live
from pcsc_d2.video import VideoSource
from tests.detect.live.rtsp_server import RtspServer
from tests.detect.live.viewer import Slow, Viewer, watch
from tests.square_model import SIDE, SPEED, SquareModel
from tests.videos import Encode

COLUMNS, ROWS = 30, 5
PATIENCE = 60.0


@pytest.fixture
def video(tmp_path: Path, encode_as: Encode) -> Path:
    """Six seconds in which the square is at a place of its own in each frame; one is whole."""
    frames = []
    for frame in range(COLUMNS * ROWS):
        image = np.full((64, 96, 3), 40, np.uint8)
        x, y = 4 + SPEED * (frame % COLUMNS), 2 + 9 * (frame // COLUMNS)
        image[y : y + SIDE, x : x + SIDE] = 230
        frames.append(image)
    coding = {"crf": "12", "sc_threshold": "0"}
    return encode_as(tmp_path / "door.mp4", frames, "libx264", None, coding)


def frame_of(picture: np.ndarray) -> int:
    """Which frame of the video a picture, four times as large, shows, from 0."""
    rows, columns = np.nonzero(picture.min(axis=2) > 190)
    x, y = np.median(columns) / 4 - SIDE / 2, np.median(rows) / 4 - SIDE / 2
    return round((y - 2) / 9) * COLUMNS + round((x - 4) / SPEED)


def lags(viewer: Viewer, sent: list[tuple[int, float]]) -> list[float]:
    """Seconds from when the frame of each picture was sent to when a viewer had the picture."""
    late = []
    for picture, seen in zip(viewer.seen, viewer.times):
        frame = frame_of(picture)
        late.append(seen - max(t for shown, t in sent if shown == frame and t <= seen))
    return late


def test_nobody_waits_for_a_cameras_next_whole_picture(video: Path) -> None:
    """What was looked at on opening is shown; the next whole picture is six seconds away."""
    with RtspServer(video) as server, closing(feed_of(server.address).open()) as frames:
        next(frames)
        assert len(server.sent) < COLUMNS * ROWS


def test_the_lag_of_a_camera_in_the_network_does_not_grow(video: Path) -> None:
    """With 0.25 s for each key frame and frames of 0.04 s, most are missed."""
    with RtspServer(video) as server:
        viewer, status = watch(server.address, Slow(), end=5.0)
    assert status.source == server.address
    assert status.came - status.dropped < status.came / 2
    late = lags(viewer, server.sent)
    assert len(late) >= 6
    half = len(late) // 2
    assert np.median(late[half:]) < np.median(late[:half]) + 0.6
    # What the page says is what there is; FFmpeg and the browser have their share.
    told = [state["lag"] for state in viewer.states]
    assert 0 < np.median(told[half:]) < np.median(late[half:]) + 0.5
    assert np.median(late[half:]) < np.median(told[half:]) + 1.0


class Director(Viewer):
    """Switches a camera off and on again while the session runs, and ends it."""

    def __init__(self, video: Path) -> None:
        super().__init__()
        self.server, self.video = RtspServer(video), video
        self.capture = Capture(feed_of(self.server.address))
        self.done: list[str] = []

    def __call__(self, line: str) -> None:
        super().__call__(line)
        threading.Thread(target=self._direct, daemon=True).start()

    def _direct(self) -> None:
        try:
            self._wait("came", lambda now: now["state"] == "live" and now["came"] > 40)
            self.server.stop()
            self._wait("went", lambda now: now["state"] == "reconnecting")
            before = self.status()["came"]
            self.server = RtspServer(self.video, self.server.port)
            self._wait(
                "came back", lambda now: now["state"] == "live" and now["came"] > before + 40
            )
        finally:
            self.capture.stop()
            self.server.stop()

    def _wait(self, what: str, is_so: Callable[[dict], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if is_so(self.status()):
                self.done.append(what)
                return
            time.sleep(0.05)


def test_a_camera_that_was_away_is_opened_again(video: Path, tmp_path: Path) -> None:
    director = Director(video)
    detector = ActionDetector(SquareModel(), DetectOptions(batch=1))
    options = LiveOptions(port=0, folder=tmp_path / "kept", minutes=1)
    status = run_live(director.capture, detector, options, director)
    assert director.done == ["came", "went", "came back"]
    assert status.came > 80
    [path] = (tmp_path / "kept").glob("live-*.mp4")
    assert len(VideoSource(path)) > 40
