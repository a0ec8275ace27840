"""What Detectron2's transforms do to a flow field."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import BlendTransform, CropTransform, NoOpTransform

import pcsc_d2  # noqa: F401  (teaches the transforms)


@pytest.fixture
def flow() -> np.ndarray:
    """(4, 6, 2), every value another."""
    return np.arange(48, dtype=np.float32).reshape(4, 6, 2)


def test_flip_mirrors_and_negates_u(flow: np.ndarray) -> None:
    flipped = T.HFlipTransform(6).apply_flow(flow)
    assert flipped[1, 0].tolist() == [-flow[1, 5, 0], flow[1, 5, 1]]
    assert np.array_equal(T.HFlipTransform(6).apply_flow(flipped), flow)


def test_resize_scales_u_by_width_and_v_by_height() -> None:
    constant = np.broadcast_to(np.float32([3, 5]), (4, 6, 2))
    resized = T.ResizeTransform(4, 6, 8, 9).apply_flow(constant)
    assert resized.shape == (8, 9, 2)
    assert np.allclose(resized, [3 * 9 / 6, 5 * 8 / 4])


def test_crop_cuts_and_keeps_values(flow: np.ndarray) -> None:
    cropped = CropTransform(2, 1, 3, 2).apply_flow(flow)
    assert np.array_equal(cropped, flow[1:3, 2:5])


@pytest.mark.parametrize("transform", [NoOpTransform(), BlendTransform(0.0, 0.5, 0.5)])
def test_colour_leaves_flow_alone(transform: T.Transform, flow: np.ndarray) -> None:
    assert np.array_equal(transform.apply_flow(flow), flow)


def test_transform_without_a_rule_for_flow_refuses(flow: np.ndarray) -> None:
    with pytest.raises((NotImplementedError, AttributeError)):
        T.RotationTransform(4, 6, 30).apply_flow(flow)
