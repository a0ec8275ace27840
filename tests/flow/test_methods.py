from __future__ import annotations

import cv2
import numpy as np
import pytest

from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.flow.methods import FLOW_METHODS, compute_flow, flip_flow, resize_flow
from pcsc_d2.video import read_frames

METHODS = [name for name in FLOW_METHODS if name.startswith("dis")]  # need no weights
MARGIN = 12  # pixels at the border, where what moves out of the image has no match


def epe(flow: np.ndarray, other: np.ndarray) -> float:
    """Mean end-point error away from the border."""
    inside = np.s_[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]
    return float(np.linalg.norm(flow[inside] - other[inside], axis=-1).mean())


@pytest.fixture(scope="module")
def moving(texture) -> np.ndarray:
    """4 frames of 96 x 128 whose content moves by (3, -2) pixels a frame."""
    canvas = texture(0, 140, 180)
    return np.stack([canvas[20 + 2 * i :, 20 - 3 * i :][:96, :128] for i in range(4)])


@pytest.mark.parametrize("method", METHODS)
def test_flow_of_a_known_shift(moving, method):
    flow = compute_flow(moving, method)
    assert flow.shape == (3, 96, 128, 2)
    assert flow.dtype == np.float32
    assert epe(flow, np.broadcast_to(np.float32([3, -2]), flow.shape)) < 0.25


def test_no_flow_is_zeros(moving):
    flow = compute_flow(moving, "none")
    assert (flow.shape, flow.dtype) == ((3, 96, 128, 2), np.float32)
    assert not flow.any()


REAL = ["WalkingWithDog/v_WalkingWithDog_g12_c03", "Basketball/v_Basketball_g01_c01"]


@pytest.fixture(params=REAL)
def real_frames(real_data, request) -> np.ndarray:
    """3 frames, of a camera that moves along and of one that stands still."""
    return read_frames(real_data / f"ucf24/videos/{request.param}.avi", [10, 11, 12])


@pytest.mark.parametrize("shift", [(3, -2), (-5, 0), (0, 4), (8, 6)])
@pytest.mark.parametrize("method", METHODS)
def test_flow_of_a_real_picture_moved_by_known_shifts(real_frames, method, shift):
    picture, (dx, dy), room = real_frames[0], shift, 20
    height, width = picture.shape[0] - 2 * room, picture.shape[1] - 2 * room
    corners = [(room - dy * i, room - dx * i) for i in range(3)]
    frames = np.stack([picture[y : y + height, x : x + width] for y, x in corners])
    flow = compute_flow(frames, method)
    assert epe(flow, np.broadcast_to(np.float32(shift), flow.shape)) < 0.25


@pytest.mark.parametrize("first", [10, 30])
def test_real_flow_commutes_with_flip_resize_and_crop(real_data, first):
    """Within 15 % of the mean motion, where a wrong sign or scale is 50 % off and more.

    DIS looks at patches of fixed size, so that a picture of another size, or on another grid,
    comes out a little differently.
    """
    video = real_data / f"ucf24/videos/{REAL[0]}.avi"
    frames = read_frames(video, [first, first + 1, first + 2])
    flow = compute_flow(frames)
    larger, smaller = (360, 480), (160, 214)
    mirrored, enlarged = frames[:, :, ::-1], resized(frames, larger)
    right = {
        "flip": (mirrored, flip_flow(flow)),
        "larger": (enlarged, resize_flow(flow, larger)),
        "smaller": (resized(frames, smaller), resize_flow(flow, smaller)),
        "crop": (frames[:, 20:220, 32:290], flow[:, 20:220, 32:290]),
    }
    wrong = {
        "sign": (mirrored, flow[:, :, ::-1]),
        "scale": (enlarged, resize_flow(flow, larger) / 1.5),
    }
    pairs = right | wrong
    error = {
        name: epe(compute_flow(images), expected) / epe(expected, 0 * expected)
        for name, (images, expected) in pairs.items()
    }
    assert max(error[name] for name in right) < 0.15, error
    assert min(error[name] for name in wrong) > 0.5, error


def resized(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    way = cv2.INTER_AREA if size[0] < frames.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size[::-1], interpolation=way) for frame in frames])


@pytest.mark.parametrize("method", METHODS)
def test_still_frames_have_no_flow(moving, method):
    assert np.abs(compute_flow(moving[[0, 0]], method)).max() < 0.05


def test_flip_and_resize_commute_with_computing_the_flow(moving):
    flow = compute_flow(moving)
    assert epe(compute_flow(moving[:, :, ::-1]), flip_flow(flow)) < 0.25
    doubled = np.stack([np.kron(f, np.ones((2, 2, 1), np.uint8)) for f in moving])
    assert epe(compute_flow(doubled), resize_flow(flow, (192, 256))) < 0.5
    cropped = moving[:, 8:88, 16:112]
    assert epe(compute_flow(cropped), flow[:, 8:88, 16:112]) < 0.25


def test_flip_mirrors_places_and_negates_u():
    flow = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    flipped = flip_flow(flow)
    assert flipped.tolist() == [[[-2, 3], [0, 1]], [[-6, 7], [-4, 5]]]
    assert flipped.dtype == np.float32
    assert np.array_equal(flip_flow(flipped), flow)


def test_resize_scales_u_with_the_width_and_v_with_the_height():
    flow = np.broadcast_to(np.float32([1, 2]), (2, 10, 20, 2))
    resized = resize_flow(flow, (30, 10))
    assert resized.shape == (2, 30, 10, 2)
    assert np.allclose(resized, [0.5, 6])
    assert np.array_equal(resize_flow(flow, (10, 20)), flow)


def test_resized_flow_follows_the_content():
    ramp = np.zeros((4, 8, 2), np.float32)
    ramp[..., 0] = np.arange(8)
    assert np.allclose(resize_flow(ramp, (4, 16))[:, 7:9, 0], [[6.5, 7.5]] * 4)


def test_what_cannot_be_computed_is_said(moving):
    with pytest.raises(ValueError, match=r"unknown flow method 'raft2'; there are \['dis'"):
        compute_flow(moving, "raft2")
    with pytest.raises(ValueError, match="at least two frames"):
        compute_flow(moving[:1])
    with pytest.raises(ValueError, match="8 x 8 pixels are too small"):
        compute_flow(moving[:, :8, :8])


def test_colour_tells_direction_and_magnitude():
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, 1:, :] = [[4, 0], [-4, 0], [2, 0], [0, 4]]
    white, right, left, half, down = flow_to_color(flow)[0].tolist()
    assert white == [255, 255, 255]
    assert right == [255, 0, 0]
    assert left == [0, 255, 255]
    assert half == pytest.approx([255, 128, 128], abs=1)
    assert down == pytest.approx([128, 255, 0], abs=1)
    assert flow_to_color(flow, max_flow=8)[0, 1].tolist() == half
    assert flow_to_color(np.zeros((2, 3, 4, 2))).shape == (2, 3, 4, 3)
