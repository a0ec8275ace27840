"""What Detectron2's transforms do to a flow field ``(H, W, 2)`` of (u, v) in pixels.

Registered as the data type ``"flow"`` (``transforms.apply_flow``). A transform that is not here
raises when it meets flow, which is right: most would need (u, v) changed with the geometry.
"""

from __future__ import annotations

import numpy as np
from detectron2.data.transforms import ResizeTransform
from fvcore.transforms.transform import (
    BlendTransform,
    CropTransform,
    HFlipTransform,
    NoOpTransform,
)

from pcsc_d2.flow.methods import flip_flow, resize_flow


def _unchanged(transform: BlendTransform | NoOpTransform, flow: np.ndarray) -> np.ndarray:
    return flow


def _flip(transform: HFlipTransform, flow: np.ndarray) -> np.ndarray:
    return flip_flow(flow)


def _crop(transform: CropTransform, flow: np.ndarray) -> np.ndarray:
    return transform.apply_image(flow)


def _resize(transform: ResizeTransform, flow: np.ndarray) -> np.ndarray:
    return resize_flow(flow, (transform.new_h, transform.new_w))


def register_flow_transforms() -> None:
    """Teach Detectron2's transforms the data type ``"flow"``."""
    NoOpTransform.register_type("flow", _unchanged)
    BlendTransform.register_type("flow", _unchanged)
    HFlipTransform.register_type("flow", _flip)
    CropTransform.register_type("flow", _crop)
    ResizeTransform.register_type("flow", _resize)
