from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.video import FLOW_METHODS, compute_flow, flip_flow, flow_to_color, resize_flow

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
