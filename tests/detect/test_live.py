"""Cameras: seen once, ended by Ctrl-C, annotated all the same."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.video import VideoSource
from tests.square_model import square_at, square_frames

Run = Callable[..., int]


class Camera:
    """What OpenCV makes of a camera: 50 frames a second, BGR.

    Attributes:
        interrupt_at: number of the frame at which somebody presses Ctrl-C; 0 for never.
    """

    released = False
    interrupt_at = 0
    frames = square_frames(36)

    def __init__(self, device: int) -> None:
        self.device, self.seen = device, 0

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.device == 0

    def get(self, _: int) -> float:
        return 50.0

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(0.02)
        self.seen += 1
        if self.seen == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        return True, self.frames[(self.seen - 1) % 36][..., ::-1]

    def release(self) -> None:
        type(self).released = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    monkeypatch.setattr(Camera, "released", False)


def result(folder: Path) -> dict:
    return json.loads((folder / "tubes.json").read_text())


def check(folder: Path) -> dict:
    content = result(folder)
    assert len(VideoSource(folder / "annotated.mp4")) == content["frames"]
    np.testing.assert_allclose(content["tubes"][0]["boxes"][4], square_at(5), atol=1.5)
    assert {p.name for p in folder.iterdir()} == {
        "annotated.mp4",
        "summary.json",
        "tubes.csv",
        "tubes.json",
    }
    return content


@pytest.mark.usefixtures("camera")
def test_camera_until_a_time(run: Run, tmp_path: Path) -> None:
    assert run("0", "--to", "0.6") == 0
    content = check(tmp_path / "out" / "camera0")
    assert content["tubes"][0]["times"][0] == 0
    assert 0.3 < content["end"] < 0.9
    assert Camera.released


@pytest.mark.usefixtures("camera")
def test_interrupting_a_camera_finishes_what_was_seen(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A shell's background jobs begin with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Camera, "interrupt_at", 36)
    try:
        assert run("0") == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    check(tmp_path / "out" / "camera0")


@pytest.mark.usefixtures("camera")
def test_no_such_camera(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("7") == 1
    assert "camera 7: cannot be opened" in capsys.readouterr().out
