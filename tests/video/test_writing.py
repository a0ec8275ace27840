"""Videos as they are written: what a browser plays, with the times asked for."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pcsc_d2.video import VideoSource, write_video
from pcsc_d2.video.writing import video_writer
from tests.disks import small_files


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_video_plays_in_a_browser(tmp_path, gray, index_of, size):
    path = tmp_path / "out" / "v.mp4"
    assert write_video(path, iter(gray(12, size)), rate=29.97) == 12
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.01)
    source = VideoSource(path)
    assert source.size == (48, 64)
    assert index_of(source) == list(range(12))


def test_failed_writing_leaves_nothing(tmp_path, gray):
    with pytest.raises(ValueError, match="no frames to write"):
        write_video(tmp_path / "v.mp4", [])
    for error in (KeyboardInterrupt, GeneratorExit):
        stopped = pytest.raises(error)
        with stopped, video_writer(tmp_path / "v.mp4") as write:
            stop_after(write, gray(1)[0], error)
    assert list(tmp_path.iterdir()) == []


def test_video_keeps_times_and_has_its_index_first(tmp_path, gray):
    times = [0, 0.04, 0.5, 0.5, 2.25]
    write_video(tmp_path / "v.mp4", gray(5), times=iter(times), preset="ultrafast")
    with av.open(str(tmp_path / "v.mp4")) as container:
        shown = [float(frame.time) for frame in container.decode(video=0)]
    assert shown == pytest.approx(times, abs=1e-4)
    assert sorted(set(shown)) == shown
    data = (tmp_path / "v.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize("size", [0, 40, 5_000, 30_000])
def test_a_full_disk_is_named_and_nothing_else_is_said(tmp_path, noise, size, capfd):
    with small_files(size), pytest.raises(OSError, match="File too large") as error:
        write_video(tmp_path / "v.mp4", noise(40))
    assert error.value.filename == str(tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def stop_after(write, frame, error):
    write(frame)
    raise error


def test_the_same_frames_give_the_same_file(tmp_path):
    # A moving pattern of few rows, with which x264's threads came to differ nearly every time.
    pattern = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    pattern = pattern.repeat(8, 0).repeat(8, 1)
    frames = [np.ascontiguousarray(pattern[i : i + 64, 2 * i : 2 * i + 64]) for i in range(24)]
    for number in range(12):
        write_video(tmp_path / f"{number}.mp4", frames, threads=3)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
