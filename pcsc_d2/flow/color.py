"""Optical flow as colour, to look at."""

from __future__ import annotations

import cv2
import numpy as np


def flow_to_color(flow: np.ndarray, max_flow: float | None = None) -> np.ndarray:
    """Direction as hue (right is red, the hue turns clockwise), magnitude as saturation on white.

    Args:
        flow: (..., H, W, 2) u and v in pixels.
        max_flow: magnitude of full saturation, in pixels; None takes the largest in ``flow``.

    Returns:
        (..., H, W, 3) uint8, RGB.
    """
    flow = np.asarray(flow, dtype=np.float32)
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    scale = float(magnitude.max(initial=0.0)) if max_flow is None else max_flow
    angle = np.degrees(np.arctan2(flow[..., 1], flow[..., 0])) % 360
    saturation = np.minimum(magnitude / max(scale, 1e-6), 1)
    hsv = np.stack([angle, saturation, np.ones_like(angle)], axis=-1, dtype=np.float32)
    rgb = cv2.cvtColor(hsv.reshape(-1, flow.shape[-2], 3), cv2.COLOR_HSV2RGB)
    return np.rint(rgb * 255).astype(np.uint8).reshape(hsv.shape)
