from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from pcsc_d2.tubes import Tubes
from pcsc_d2.video import (
    color_of,
    draw_boxes,
    draw_tubes,
    image_grid,
    write_image,
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


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(240, 320), (96, 128)])
def test_labels_are_whole_and_apart(size, seed):
    """Each plate's colour is its label's alone, so that its pixels tell where it is."""
    rng = np.random.default_rng(seed)
    colors = [(0, 20 + 15 * i, 255) for i in range(8)]
    corners = rng.integers(-20, 340, (8, 4)).astype(float)
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:].clip(1)], axis=1)
    image = np.zeros((*size, 3), np.uint8)
    drawn = draw_boxes(image, boxes, [f"class {i} 0.50" for i in range(8)], colors)
    for color in colors:
        alone = draw_boxes(image, np.array([[5, 60, 6, 61]]), ["class 0 0.50"], [color])
        plate = (alone == color).all(-1).sum()
        # Ink covers the same in each label, up to the digits.
        assert (drawn == color).all(-1).sum() > 0.9 * plate


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


def test_images_keep_their_colours(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)


def test_an_image_of_no_known_format_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="suffix"):
        write_image(tmp_path / "a.xyz", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_captions_of_a_sheet_are_whole():
    cells = [np.full((48, 64, 3), 9, np.uint8)] * 2
    short = image_grid(cells, 2, ["a", "b"])
    long = image_grid(cells, 2, ["frame 12: SomeVeryLongNameWithoutSpaces_u_nm_np1", "b"])
    assert long.shape[1] == short.shape[1]
    assert len(long) >= len(short) + 3 * 16  # in lines, above its own cell
    dark = (long[: len(long) - 52] < 128).all(-1)
    assert [dark[16 * i : 16 * (i + 1), :64].any() for i in range(4)] == [True] * 4
    assert not dark[:-16, 68:].any()  # the short one is in one line, right above its cell
