"""Frames reached from a key frame are those of a walk from the start, under both rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.video import FrameCache, VideoSource, read_frames
from pcsc_d2.video.decoding import DECODING_RULES, FileReader

# Frames left out, and twice two frames in one place of the constant rate.
TIMES = np.cumsum(np.tile([1, 1, 3, 1, 2], 12)).tolist()
FILES = {
    "reordered.mp4": ("libx264", None, {"g": "12", "bf": "3"}),
    "open.mp4": ("libx264", None, {"x264-params": "open-gop=1:keyint=12:bframes=3"}),
    "gaps.mkv": ("libx264", TIMES, {"g": "10"}),
    "gaps.avi": ("mpeg4", TIMES, {"g": "10"}),
    "reordered.avi": ("mpeg4", None, {"g": "12", "bf": "2"}),
    "one_key.mp4": ("libx264", None, {"g": "999"}),
    "no_stamps.h264": ("libx264", None, {"g": "12"}),
}


@pytest.fixture
def seeks(monkeypatch) -> list[bool]:
    """Whether each jump to a key frame since the test began led to that frame."""
    made: list[bool] = []
    jump = FileReader._walk_from_key

    def noting(self, index: int, stamp: int) -> Iterator | None:
        walk = jump(self, index, stamp)
        made.append(walk is not None)
        return walk

    monkeypatch.setattr(FileReader, "_walk_from_key", noting)
    return made


def assert_exact(path: Path, rule: str, jumps: int, seed: int = 0) -> None:
    """Clips in random order, by one cache that keeps no frame, and by readers of their own."""
    frames = [frame.tobytes() for frame in VideoSource(path, rule)]
    rng, cache = np.random.default_rng(seed), FrameCache(0)
    for first in rng.integers(0, len(frames), jumps).tolist():
        indices = np.minimum(np.arange(first, first + 3), len(frames) - 1)
        for found in (read_frames(path, indices, rule, cache), read_frames(path, indices, rule)):
            same = [f.tobytes() == frames[i] for f, i in zip(found, indices.tolist())]
            assert all(same), (path, rule, indices)


@pytest.mark.parametrize("rule", DECODING_RULES)
@pytest.mark.parametrize("name", FILES)
def test_jumps_are_exact(tmp_path, encode_as, texture, seeks, name, rule):
    codec, times, options = FILES[name]
    canvas = texture(3, 120, 160)
    frames = [canvas[i : i + 48, 2 * (i % 48) : 2 * (i % 48) + 64] for i in range(60)]
    assert_exact(encode_as(tmp_path / name, frames, codec, times, options), rule, jumps=8)
    if name not in ("one_key.mp4", "no_stamps.h264"):
        assert any(seeks)


def test_clip_late_in_a_long_video_is_not_decoded_from_the_start(
    tmp_path, encode_as, gray, monkeypatch
):
    path = encode_as(tmp_path / "long.mp4", gray(20) * 20, "libx264", None, {"g": "12"})
    decoded = []
    decode = FileReader._decode

    def counting(self) -> Iterator:
        for frame in decode(self):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(FileReader, "_decode", counting)
    read_frames(path, range(390, 394))
    assert len(decoded) < 20


@pytest.mark.parametrize("rule", DECODING_RULES)
@pytest.mark.parametrize(
    "name",
    [
        "ucf24/videos/Basketball/v_Basketball_g18_c03.avi",
        "ucf24/videos/WalkingWithDog/v_WalkingWithDog_g09_c03.avi",
        "ucf24/videos/WalkingWithDog/v_WalkingWithDog_g12_c03.avi",
        "ucf24/videos/Surfing/v_Surfing_g01_c01.avi",
        "ucf24/videos/Fencing/v_Fencing_g01_c06.mp4",
    ],
)
def test_jumps_in_ucf101_clips_are_exact(real_data, seeks, name, rule):
    assert_exact(real_data / name, rule, jumps=6)
    assert rule == "coded" or all(seeks)
    assert any(seeks)


@pytest.mark.parametrize("rule", DECODING_RULES)
def test_jumps_in_jhmdb_clips_are_exact(real_data, seeks, rule):
    originals = sorted(real_data.glob("jhmdb/original/JHMDB_video/*/*.avi"))[::5]
    again = sorted(real_data.glob("jhmdb/videos/*/*.mp4"))[::120]
    for path in [*originals, *again]:
        assert_exact(path, rule, jumps=3)
    assert all(seeks)
    assert len(seeks) > 10
