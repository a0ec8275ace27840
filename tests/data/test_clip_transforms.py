"""Whole clips are transformed as their frames are, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import BlendTransform, CropTransform, NoOpTransform, Transform

import pcsc_d2.data  # noqa: F401  (teaches the transforms)
from pcsc_d2.data.to_tensor import flow_to_tensor, rgb_to_tensor
from pcsc_d2.flow.codec import decode_flow, encode_flow

TRANSFORMS = {
    "none": NoOpTransform(),
    "flip": T.HFlipTransform(10),
    "crop": CropTransform(2, 1, 5, 4),
    "resize": T.ResizeTransform(8, 10, 12, 9),
    "same size": T.ResizeTransform(8, 10, 8, 10),
    "colour": BlendTransform(0.0, 0.4, 0.6),
    "all": T.TransformList(
        [CropTransform(2, 1, 6, 6), T.HFlipTransform(6), T.ResizeTransform(6, 6, 9, 12)]
    ),
}


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)


@pytest.fixture
def fields() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 5, (3, 8, 10, 2)).astype(np.float32)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_clips_are_transformed_as_their_frames(
    name: str, frames: np.ndarray, fields: np.ndarray
) -> None:
    transform: Transform = TRANSFORMS[name]
    rgb = transform.apply_rgb_clip(frames.transpose(3, 0, 1, 2).copy())
    expected = np.stack([transform.apply_image(frame) for frame in frames])
    assert rgb.dtype == np.uint8
    assert np.array_equal(rgb, expected.transpose(3, 0, 1, 2))
    flow = transform.apply_flow_clip(fields.transpose(3, 0, 1, 2).copy())
    expected = np.stack([transform.apply_flow(field) for field in fields])
    assert np.array_equal(flow, expected.transpose(3, 0, 1, 2))


def test_transform_without_a_rule_for_flow_refuses(fields: np.ndarray) -> None:
    with pytest.raises((NotImplementedError, AttributeError)):
        T.RotationTransform(8, 10, 30).apply_flow_clip(fields.transpose(3, 0, 1, 2))


def test_planes_of_frames_and_codes(frames: np.ndarray, fields: np.ndarray) -> None:
    clip = [frames[0], frames[0], *frames]
    assert np.array_equal(rgb_to_tensor(clip), np.stack(clip).transpose(3, 0, 1, 2))
    for codes, bound in ((encode_flow(fields, 20.0), 20.0), (fields, 5.0)):
        expected = decode_flow(codes, bound).transpose(3, 0, 1, 2)
        assert np.allclose(flow_to_tensor(list(codes), bound), expected, atol=1e-5)
