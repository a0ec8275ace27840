"""The number in a frame's name is its number, and what is not there never moves the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.video import VideoSource, read_frames


def folder_of(path: Path, names: list[str]) -> Path:
    """Frames each of one gray value, 10 times its place in the list."""
    path.mkdir()
    for i, name in enumerate(names):
        cv2.imwrite(str(path / name), np.full((8, 8, 3), 10 * i, np.uint8))
    return path


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["1.png", "2.png", "10.png"], [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]),
        (["0.png", "1.png", "3.png"], [0, 1, 1, 2]),
        (["frame_00003.png", "frame_00004.png"], [0, 0, 0, 1]),
        (["cam2_1.png", "cam2_2.png"], [0, 1]),
        (["a1.png", "b1.png"], [0, 1]),
        (["first.png", "second.png"], [0, 1]),
        (["1700000000.png", "1700000040.png"], [0, 1]),
        (["9999999999999999999999.png"], [0]),
    ],
)
def test_number_in_the_name_is_the_frame(tmp_path: Path, names: list[str], shown: list[int]):
    folder = folder_of(tmp_path / "v", names)
    assert [int(frame.mean()) // 10 for frame in VideoSource(folder)] == shown
    assert len(VideoSource(folder)) == len(shown)
    assert int(read_frames(folder, [len(shown) - 1]).mean()) // 10 == shown[-1]


def test_gap_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    VideoSource(folder_of(tmp_path / "v", ["1.png", "2.png", "5.png"]))
    assert "2 frames are missing (the first is 3)" in caplog.text
