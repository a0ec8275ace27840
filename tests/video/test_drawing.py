from __future__ import annotations

import errno
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from pcsc_d2.tubes import Tubes
from pcsc_d2.video import (
    VideoSource,
    color_of,
    draw_boxes,
    draw_tubes,
    image_grid,
    write_image,
    write_video,
)


def test_colours_are_steady_and_apart():
    colors = [color_of(i) for i in range(24)]
    assert colors == [color_of(i) for i in range(24)]
    assert len(set(colors)) == 24
    assert all(np.abs(np.subtract(a, b)).sum() > 150 for a, b in pairwise(colors))


def test_box_is_drawn_on_its_inclusive_corners():
    image = np.zeros((40, 60, 3), np.uint8)
    drawn = draw_boxes(image, np.array([[10, 5, 30, 20]]), colors=[(9, 8, 7)])
    assert drawn[[5, 5, 20, 20], [10, 30, 10, 30]].tolist() == [[9, 8, 7]] * 4
    assert not drawn[12, 20].any()
    rows, columns = np.nonzero(drawn.any(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 20, 10, 30)
    assert not image.any()  # the input is left as it was


@pytest.mark.parametrize("box", [[0, 0, 59, 39], [-5, -9, 300, 300], [55, 35, 59, 39]])
def test_captions_stay_readable_at_the_border(box):
    image = np.zeros((40, 60, 3), np.uint8)
    plain = draw_boxes(image, np.array([box]), colors=[(0, 255, 0)])
    drawn = draw_boxes(image, np.array([box]), ["run 0.9"], [(0, 255, 0)])
    assert (drawn != plain).any(-1).sum() > 100


def test_tubes_are_drawn_on_their_frames_only():
    boxes = np.float32([[5, 25, 20, 38]] * 3)
    ones = np.ones(3, np.float32)
    tubes = Tubes(["a", "b"], ["run"], [1], [0], [1], [2], [0, 3], boxes, ones)
    truth = Tubes(["b"], ["run"], [0], [0], [1], [5], [0, 1], boxes[:1], ones[:1])
    frames = [np.zeros((40, 60, 3), np.uint8)] * 6
    drawn = [bool(frame.any()) for frame in draw_tubes(frames, tubes, "b")]
    assert drawn == [False, True, True, True, False, False]
    assert not any(frame.any() for frame in draw_tubes(frames, tubes, "a"))
    last = list(draw_tubes(frames, tubes, "b", truth))[4]
    assert last[25, 5].tolist() == [255, 255, 255]


def test_grid_holds_every_image():
    images = [np.full((10 + i, 20, 3), i, np.uint8) for i in range(5)]
    sheet = image_grid(images, 3, [str(i) for i in range(5)], gap=2)
    assert sheet.shape == (2 * (14 + 16 + 2), 3 * 22, 3)
    assert np.array_equal(sheet[16:26, :20], images[0])
    assert np.array_equal(sheet[32 + 16 :][:14, 22:42], images[4])
    assert image_grid(images[:1], 4).shape == (14, 24, 3)


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


def test_images_keep_their_colours(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)


def test_failed_writing_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no frames to write"):
        write_video(tmp_path / "v.mp4", [])
    with pytest.raises(ValueError, match="suffix"):
        write_image(tmp_path / "a.xyz", np.zeros((2, 2, 3), np.uint8))
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


def test_a_full_disk_is_named(tmp_path, gray, monkeypatch):
    def full(self, data):
        self.error = OSError(errno.ENOSPC, "No space left on device")
        raise self.error

    monkeypatch.setattr("pcsc_d2.video.drawing._Sink.write", full)
    with pytest.raises(OSError, match="No space left"):
        write_video(tmp_path / "v.mp4", gray(12))
    assert list(tmp_path.iterdir()) == []
