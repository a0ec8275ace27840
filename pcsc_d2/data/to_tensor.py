"""Frames and flow codes, as they are decoded, to the planes (C, T, H, W) of a model input."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pcsc_d2.flow.codec import decode_flow


def rgb_to_tensor(frames: Sequence[np.ndarray]) -> np.ndarray:
    """T frames (H, W, 3) uint8 to (3, T, H, W)."""
    planes = np.empty((3, len(frames), *frames[0].shape[:2]), np.uint8)
    for t, frame in enumerate(frames):
        if t and frame is frames[t - 1]:  # beyond its ends a video stands still
            planes[:, t] = planes[:, t - 1]
        else:
            # Half the time of a strided copy.
            for plane, channel in zip(planes[:, t], cv2.split(frame)):
                plane[...] = channel
    return planes


def flow_to_tensor(codes: Sequence[np.ndarray], bound: float | None) -> np.ndarray:
    """T fields of codes (H, W, 2) of a flow store to (2, T, H, W) float32, in pixels."""
    planes = np.empty((2, len(codes), *codes[0].shape[:2]), np.float32)
    if codes[0].dtype != np.uint8:
        for t, field in enumerate(codes):
            planes[:, t] = decode_flow(field, bound).transpose(2, 0, 1)
        return planes
    table = decode_flow(np.arange(256, dtype=np.uint8), bound)
    for t, field in enumerate(codes):
        for c in range(2):
            cv2.LUT(np.ascontiguousarray(field[..., c]), table, planes[c, t])
    return planes
