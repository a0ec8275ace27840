from __future__ import annotations

import json
import pickle
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.utils.pickles import restricted_load
from pcsc_d2.video import FrameCache, VideoError, VideoSource, open_files, reading
from pcsc_d2.video.reading import ByteLRU, read_frames


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_rules_place_frames_by_order_or_by_time(tmp_path, encode, gray, index_of, name):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = encode(tmp_path / name, gray(6), codec, times=[0, 1, 4, 5, 6, 9])
    expected = {
        "coded": [0, 1, 2, 3, 4, 5],
        "constant_rate": [0, 1, 1, 1, 2, 3, 4, 4, 4, 5],
    }
    for rule, indices in expected.items():
        source = VideoSource(path, rule)
        assert index_of(source) == indices
        assert len(source) == len(indices)
        some = np.array([len(indices) - 1, 2, 2, 0])
        assert index_of(read_frames(path, some, rule)) == [indices[i] for i in some]


def test_source_gives_size_rate_and_rgb(tmp_path, encode):
    red = np.zeros((30, 50, 3), np.uint8)
    red[..., 0] = 200
    source = VideoSource(encode(tmp_path / "red.mp4", [red] * 3))
    assert source.size == (30, 50)
    assert source.rate == 25
    frame = next(iter(source))
    assert frame.shape == (30, 50, 3)
    assert frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - red).max() < 12


def test_folder_is_read_in_natural_order(tmp_path, gray, index_of):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(gray(12), start=1):
        cv2.imwrite(str(folder / f"img_{i}.png"), frame)
    (folder / "notes.txt").write_text("not a frame")
    source = VideoSource(folder, "constant_rate")
    assert (len(source), source.size) == (12, (48, 64))
    assert index_of(source) == list(range(12))
    assert index_of(read_frames(folder, [10, 3], "coded", FrameCache())) == [10, 3]


def test_one_frame_is_a_video(tmp_path, encode, gray, index_of):
    path = encode(tmp_path / "one.mp4", gray(1))
    for rule in ("coded", "constant_rate"):
        assert index_of(VideoSource(path, rule)) == [0]
        assert len(VideoSource(path, rule)) == 1


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
@pytest.mark.parametrize("rule", ["coded", "constant_rate"])
def test_truncated_video_gives_what_decodes_and_then_says_so(tmp_path, encode, noise, name, rule):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    options = {} if name.endswith("avi") else {"movflags": "faststart"}
    path = encode(tmp_path / name, noise(40), codec, **options)
    whole = list(VideoSource(path, rule))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    seen = []

    def see_all() -> None:
        for frame in VideoSource(path, rule):
            seen.append(frame)

    with pytest.raises(VideoError, match=re.escape(str(path))) as error:
        see_all()
    assert 10 < len(seen) < 30
    assert error.value.decoded == len(seen)
    assert all(np.array_equal(a, b) for a, b in zip(seen, whole))
    with pytest.raises(VideoError):
        len(VideoSource(path, rule))
    assert np.array_equal(read_frames(path, [3, 4], rule), np.stack(whole[3:5]))
    cache = FrameCache()
    for _ in range(2):
        with pytest.raises(VideoError, match="cannot be decoded after frame"):
            read_frames(path, [35], rule, cache)


def turned(path: Path, degrees: int) -> Path:
    """The video with the matrix that displays it turned clockwise, as phones write it."""
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = [cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30]
    content = path.read_bytes()
    track = content.index(b"tkhd")
    found = content.index(identity, track)
    path.write_bytes(content[:found] + struct.pack(">9i", *matrix) + content[found + 36 :])
    return path


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("rule", ["coded", "constant_rate"])
def test_frames_are_turned_as_they_are_displayed(tmp_path, encode, degrees, rule):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = [250, 20, 20]  # red at the top left
    path = turned(encode(tmp_path / "phone.mp4", [frame] * 3), degrees)
    expected = np.rot90(frame, -degrees // 90)
    source = VideoSource(path, rule)
    assert source.size == expected.shape[:2]
    assert len(source) == 3
    for seen in (next(iter(source)), *read_frames(path, [1, 2], rule, FrameCache())):
        assert seen.shape == expected.shape
        assert np.abs(seen.astype(int) - expected).mean() < 12
        assert seen.flags.c_contiguous


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such video"),
        (b"", r"empty \(0 bytes\)"),
        (b"no video at all" * 100, "cannot be opened as a video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=message) as error:
        VideoSource(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)


def test_empty_folder_and_unreadable_frame_are_named(tmp_path):
    with pytest.raises(VideoError, match="holds no frames"):
        VideoSource(tmp_path)
    (tmp_path / "1.jpg").write_bytes(b"x")
    with pytest.raises(VideoError, match=r"1\.jpg: the frame cannot be read"):
        VideoSource(tmp_path)


def test_folder_of_changing_size_is_refused(tmp_path):
    for i, size in enumerate([(20, 20), (20, 22)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((*size, 3), np.uint8))
    with pytest.raises(VideoError, match=r"1\.png: is of another size"):
        list(VideoSource(tmp_path))


@pytest.mark.parametrize("cached", [False, True])
def test_frame_beyond_the_end_is_refused(gray_video, cached):
    cache = FrameCache() if cached else None
    with pytest.raises(VideoError, match="has 20 frames, frame 21 was asked for"):
        read_frames(gray_video, [19, 20], "coded", cache)
    with pytest.raises(ValueError, match="must be 0 or more"):
        read_frames(gray_video, [-1], "coded", cache)
    with pytest.raises(ValueError, match="unknown decoding rule 'fast'"):
        read_frames(gray_video, [0], "fast", cache)


@pytest.fixture
def decoded(monkeypatch) -> list[object]:
    """What the readers turned into pixels since the test began."""
    handles: list[object] = []
    open_reader = reading.open_reader

    def counting(*arguments):
        reader = open_reader(*arguments)
        pixels = reader.pixels
        reader.pixels = lambda handle: handles.append(handle) or pixels(handle)
        return reader

    monkeypatch.setattr(reading, "open_reader", counting)
    return handles


def test_cache_decodes_each_frame_once(gray_video, index_of, decoded):
    cache = FrameCache()
    for first in range(17):
        indices = np.arange(first, first + 4)
        assert index_of(read_frames(gray_video, indices, "coded", cache)) == indices.tolist()
    assert len(decoded) == 20


def test_without_a_cache_only_wanted_frames_are_converted(gray_video, decoded):
    read_frames(gray_video, [9, 11, 9])
    assert len(decoded) == 2


@pytest.mark.parametrize("max_bytes", [0, 5 * 48 * 64 * 3])
def test_small_cache_gives_the_same_frames_in_any_order(gray_video, index_of, max_bytes):
    cache = FrameCache(max_bytes)
    rng = np.random.default_rng(0)
    for _ in range(20):
        indices = rng.integers(0, 20, 6)
        assert index_of(read_frames(gray_video, indices, "coded", cache)) == indices.tolist()
    assert cache._frames.bytes <= max_bytes


def test_cache_serves_many_videos_at_once(tmp_path, encode, gray, index_of):
    paths = [encode(tmp_path / f"{i}.mp4", gray(6)) for i in range(reading._OPEN_FILES + 4)]
    cache = FrameCache()
    for first in (0, 2, 1, 4):
        for path in paths:
            assert index_of(cache.read(path, [first, first + 1], "coded")) == [first, first + 1]
    assert len(cache._passes) <= reading._OPEN_FILES


def test_cache_starts_empty_in_another_process(gray_video, index_of, monkeypatch):
    cache = FrameCache(1 << 20)
    cache.read(gray_video, [0, 1], "coded")
    assert len(pickle.loads(pickle.dumps(cache))._frames) == 0
    (parents,) = cache._passes._files.values()
    monkeypatch.setattr(open_files.os, "getpid", lambda: -1)
    assert index_of(cache.read(gray_video, [2], "coded")) == [2]
    assert parents.next == 2  # the parent's place in its file is left alone


def test_lru_drops_the_least_recently_used():
    lru = ByteLRU(20)
    for key in "ab":
        lru.put(key, np.zeros(10, np.uint8))
    lru.get("a")
    lru.put("c", np.zeros(10, np.uint8))
    assert lru.get("b") is None
    assert lru.get("a") is not None
    lru.put("a", np.zeros(4, np.uint8))
    assert lru.bytes == 14


def test_ucf101_clips_have_the_annotated_number_of_frames(real_data):
    annotations = restricted_load(real_data / "ucf24/annotations/pyannot.pkl")
    short = {}
    for path in sorted(real_data.glob("ucf24/videos/*/*.*")):
        annotated = int(annotations[f"{path.parent.name}/{path.stem}"]["numf"])
        source = VideoSource(path, "constant_rate")
        assert sum(1 for _ in source) == len(source) == annotated, path
        coded = len(VideoSource(path, "coded"))
        if coded != annotated:
            short[path.stem] = annotated - coded
    assert short == {
        "v_Basketball_g18_c03": 6,
        "v_WalkingWithDog_g09_c03": 1,
        "v_WalkingWithDog_g12_c03": 1,
    }


def test_frame_that_is_not_coded_repeats_the_one_before(real_data):
    path = real_data / "ucf24/videos/Basketball/v_Basketball_g18_c03.avi"
    before, repeated, after = read_frames(path, [2, 3, 4], "constant_rate")
    assert np.array_equal(before, repeated)
    assert not np.array_equal(repeated, after)


def test_jhmdb_clips_have_the_coded_number_of_frames(real_data):
    counts = json.loads((real_data / "jhmdb/videos/frames.json").read_text())
    originals = sorted(real_data.glob("jhmdb/original/JHMDB_video/*/*.avi"))
    again = sorted(real_data.glob("jhmdb/videos/*/*.mp4"))
    for path in [*originals, *again[::10]]:
        source = VideoSource(path, "coded")
        expected = counts[f"{path.parent.name}/{path.stem}"]
        assert sum(1 for _ in source) == len(source) == expected, path
    assert all(
        3 <= len(VideoSource(path, "constant_rate")) - len(VideoSource(path)) <= 8
        for path in originals
    )


def test_real_video_cut_off_is_reported(real_data, tmp_path: Path):
    whole = real_data / "ucf24/videos/Diving/v_Diving_g02_c01.avi"
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[:200_000])
    with pytest.raises(VideoError) as error:
        len(VideoSource(path, "constant_rate"))
    assert 0 < error.value.decoded < 134
