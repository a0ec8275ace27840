from __future__ import annotations

import json
import logging
import pickle
import zipfile

import cv2
import numpy as np
import pytest

from pcsc_d2.flow import store as flow_store
from pcsc_d2.flow.codec import FlowFile, codec_error, decode_flow, encode_flow, write_flow_file
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import DISFlow, compute_flow, flip_flow
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.video import VideoError, read_frames


@pytest.fixture
def video(tmp_path, encode, texture):
    """10 frames of 48 x 64 with moving content."""
    canvas = texture(1, 80, 100)
    frames = [canvas[i : i + 48, 2 * i : 2 * i + 64] for i in range(10)]
    return encode(tmp_path / "moving.mp4", frames)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """The number of frames of every run of the flow method since the test began."""
    runs: list[int] = []
    run = DISFlow.__call__

    def counting(self, frames):
        frames = list(frames)
        runs.append(len(frames))
        return run(self, frames)

    monkeypatch.setattr(DISFlow, "__call__", counting)
    return runs


@pytest.mark.parametrize("bound", [5.0, 20.0])
def test_codec_error_is_within_its_bound(bound):
    flow = np.random.default_rng(0).uniform(-bound, bound, (50, 60, 2)).astype(np.float32)
    again = decode_flow(encode_flow(flow, bound), bound)
    error = np.linalg.norm(again - flow, axis=-1)
    assert error.max() <= codec_error(bound) + 1e-5
    assert error.max() > 0.9 * codec_error(bound)  # the bound is not a loose one
    assert np.array_equal(encode_flow(again, bound), encode_flow(flow, bound))


def test_codec_keeps_zero_and_mirroring_and_clips():
    flow = np.float32([[[0, 0], [-20, 20]], [[33, -33], [0.05, -1]]])
    codes = encode_flow(flow, 20)
    assert codes.tolist() == [[[128, 128], [1, 255]], [[255, 1], [128, 122]]]
    assert np.array_equal(decode_flow(encode_flow(-flow, 20), 20), -decode_flow(codes, 20))
    flipped = encode_flow(flip_flow(flow), 20)
    assert np.array_equal(decode_flow(flipped, 20), flip_flow(decode_flow(codes, 20)))


def test_file_gives_back_any_field(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 2), dtype=np.uint8)
    assert write_flow_file(tmp_path / "f.zip", iter(codes), {"bound": 3}) == 5
    with FlowFile(tmp_path / "f.zip") as file:
        assert file.meta == {"format": 1, "fields": 5, "bound": 3}
        assert np.array_equal(np.stack(file.read([4, 0, 4])), codes[[4, 0, 4]])
        with pytest.raises(FlowError, match=r"flow of 6 frames, field 5 \(from 0\)"):
            file.read([5])


def test_store_gives_the_flow_of_the_frames_within_the_codec(tmp_path, video):
    store = FlowStore(tmp_path / "flow")
    flow = store.read(video, "a/b", [0, 8, 8, 3])
    direct = compute_flow(read_frames(video, np.arange(10)))[[0, 8, 8, 3]]
    assert flow.shape == (4, 48, 64, 2)
    assert flow.dtype == np.float32
    assert np.linalg.norm(flow - direct.clip(-20, 20), axis=-1).max() <= codec_error(20) + 1e-5
    with zipfile.ZipFile(tmp_path / "flow/dis/a/b.zip") as archive:
        meta = json.loads(archive.read("meta.json"))
    wanted = {"method": "dis", "version": "1", "bound": 20.0, "rule": "coded", "fields": 9}
    assert wanted.items() <= meta.items()
    assert meta["size"] == [48, 64]


class KnownFlow:
    """A method whose field i is u = 40.1 + i, v = -0.013."""

    name, version, in_process = "known", "1", False

    def __call__(self, frames):
        for i, frame in enumerate(list(frames)[1:]):
            yield np.broadcast_to(np.float32([40.1 + i, -0.013]), (*frame.shape[:2], 2))


def test_floats_are_neither_rounded_nor_clipped(tmp_path, video):
    store = FlowStore(tmp_path / "flow", KnownFlow(), bound=None)
    flow = store.read(video, "v", [0, 8])
    assert np.allclose(flow[:, 0, 0], [[40.1, -0.013], [48.1, -0.013]], rtol=2**-11)
    assert flow.dtype == np.float32
    assert np.array_equal(
        FlowStore(None, KnownFlow(), None).read(video, "v", range(9))[[0, 8]], flow
    )
    again = FlowStore(tmp_path / "flow", KnownFlow(), None).read(video, "v", [8])
    assert np.array_equal(again[0], flow[1])
    with pytest.raises(FlowError, match=r"flow with bound None, wanted 20\.0"):
        FlowStore(tmp_path / "flow", KnownFlow()).read(video, "v", [0])
    content = store.path("v").read_bytes()
    store.path("v").write_bytes(content[:60] + b"\0" * 40 + content[100:])
    with pytest.raises(FlowError, match="remove it, if it is damaged"):
        FlowStore(tmp_path / "flow", KnownFlow(), None).read(video, "v", [0])


def test_on_the_fly_is_the_same_and_computes_each_field_once(tmp_path, video, computed):
    stored = FlowStore(tmp_path / "flow").read(video, "v", range(9))
    computed.clear()
    store = FlowStore(None)
    for first in (0, 2, 4):
        clip = list(range(first, first + 4))
        assert np.array_equal(store.read(video, "v", clip), stored[clip])
    assert computed == [5, 3, 3]  # frames: four fields, then two new ones each
    store.read(video, "v", [1, 7])
    assert len(computed) == 3


def test_flow_is_computed_once_and_kept(tmp_path, video, computed):
    FlowStore(tmp_path / "flow").read(video, "v", [0])
    FlowStore(tmp_path / "flow").read(video, "v", [5])
    assert computed == [10]
    FlowStore(tmp_path / "flow", "dis_fast").read(video, "v", [5])
    assert computed == [10, 10]
    assert (tmp_path / "flow/dis_fast/v.zip").is_file()


@pytest.mark.parametrize(
    ("other", "rule", "message"),
    [
        ({"bound": 10.0}, "coded", r"bound 20\.0, wanted 10\.0"),
        ({"method": DISFlow("dis", 2, version="2")}, "coded", "version 1, wanted 2"),
        ({}, "constant_rate", "rule coded, wanted constant_rate"),
    ],
)
def test_flow_of_other_settings_is_never_taken(tmp_path, video, other, rule, message):
    FlowStore(tmp_path / "flow").read(video, "v", [0])
    with pytest.raises(FlowError, match=message) as error:
        FlowStore(tmp_path / "flow", **other).read(video, "v", [0], rule)
    assert "v.zip" in str(error.value)


def test_flow_of_a_replaced_video_is_computed_again(tmp_path, video, encode, noise, caplog):
    store = FlowStore(tmp_path / "flow")
    store.read(video, "v", [8])
    encode(video, noise(6))
    with caplog.at_level(logging.WARNING):
        fresh = FlowStore(tmp_path / "flow").read(video, "v", [4])
    assert "the video has changed" in caplog.text
    assert np.array_equal(fresh, FlowStore(None).read(video, "v", [4]))


def test_flow_is_read_without_the_video(tmp_path, video):
    flow = FlowStore(tmp_path / "flow").read(video, "v", [2])
    video.unlink()
    assert np.array_equal(FlowStore(tmp_path / "flow").read(video, "v", [2]), flow)


def test_damaged_flow_file_is_named(tmp_path, video):
    store = FlowStore(tmp_path / "flow", cache_bytes=0)
    store.read(video, "v", [0])
    path = store.path("v")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FlowError, match=r"v\.zip: cannot be read as a flow file.*remove it"):
        FlowStore(tmp_path / "flow").read(video, "v", [0])
    path.write_bytes(content[:200] + b"\0" * 100 + content[300:])
    with pytest.raises(FlowError, match="remove it, if it is damaged"):
        FlowStore(tmp_path / "flow").read(video, "v", [0])


@pytest.mark.parametrize("bound", [20.0, None])
@pytest.mark.parametrize("folder", [None, "flow"])
def test_video_of_one_frame_stands_still(tmp_path, encode, gray, folder, bound):
    one = encode(tmp_path / "one.mp4", gray(1))
    store = FlowStore(folder and tmp_path / folder, bound=bound)
    assert np.array_equal(store.read(one, "one", [0, 0]), np.zeros((2, 48, 64, 2)))


@pytest.mark.parametrize("folder", [None, "flow"])
def test_field_beyond_the_end_is_refused(tmp_path, video, folder):
    store = FlowStore(folder and tmp_path / folder)
    with pytest.raises((FlowError, VideoError), match="10 frames"):
        store.read(video, "v", [8, 9])


@pytest.mark.parametrize("key", ["../v", "/v", "a/../../v"])
def test_key_cannot_leave_the_folder(tmp_path, video, key):
    with pytest.raises(ValueError, match="expected a relative name"):
        FlowStore(tmp_path / "flow").read(video, key, [0])


def test_frames_in_a_folder_have_flow_too(tmp_path, texture):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        cv2.imwrite(str(frames / f"{i}.png"), texture(0, 40, 60)[:, i : i + 40])
    stored = FlowStore(tmp_path / "flow").read(frames, "v", [0, 1])
    assert np.array_equal(stored, FlowStore(None).read(frames, "v", [0, 1]))


@pytest.mark.parametrize("processes", [1, 2])
def test_precompute_survives_bad_videos_and_goes_on_later(
    tmp_path, video, encode, noise, processes
):
    empty, missing = tmp_path / "empty.mp4", tmp_path / "missing.mp4"
    empty.touch()
    cut = encode(tmp_path / "cut.avi", noise(30), "mpeg4")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    videos = [("a", video), ("b", empty), ("c/d", video), ("e", missing), ("f", cut)]
    store = FlowStore(tmp_path / "flow")
    report = store.precompute(videos, processes=processes)
    assert (report.made, report.present) == (2, 0)
    assert sorted(line.split(": ")[0] for line in report.failed) == [
        str(path) for path in (cut, empty, missing)
    ]
    report = store.precompute([*videos, ("g", video)], processes=processes)
    assert (report.made, report.present, len(report.failed)) == (1, 2, 3)
    names = sorted(str(p.relative_to(store.folder)) for p in store.folder.rglob("*.*"))
    assert names == ["dis/a.zip", "dis/c/d.zip", "dis/g.zip"]  # and nothing half written
    assert "3 failed" in str(report)


def test_precompute_that_was_stopped_leaves_nothing_half_written(tmp_path, video, monkeypatch):
    def stopped(frames, bound):
        raise KeyboardInterrupt

    monkeypatch.setattr(flow_store, "encode_flow", stopped)
    store = FlowStore(tmp_path / "flow")
    with pytest.raises(KeyboardInterrupt):
        store.precompute([("a", video)])
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_store_travels_to_other_processes_without_its_memory(tmp_path, video):
    store = FlowStore(tmp_path / "flow")
    flow = store.read(video, "v", [1])
    again = pickle.loads(pickle.dumps(store))
    assert len(again._fields) == 0
    assert np.array_equal(again.read(video, "v", [1]), flow)


def test_flow_in_memory_stays_within_its_bytes(video):
    store = FlowStore(None, cache_bytes=3 * 48 * 64 * 2)
    store.read(video, "v", range(9))
    assert len(store._fields) == 3


def test_real_clip_with_frames_not_coded(real_data, tmp_path):
    video = real_data / "ucf24/videos/Basketball/v_Basketball_g18_c03.avi"
    store = FlowStore(tmp_path)
    flow = store.read(video, "v", [2, 3, 178], "constant_rate")
    assert np.abs(flow[0]).max() < 0.2  # frame 4 repeats frame 3
    assert np.abs(flow[1]).max() > 1
    per_field = store.path("v").stat().st_size / 179
    assert per_field < 0.25 * 2 * 240 * 320  # against a plain array
