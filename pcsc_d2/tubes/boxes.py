"""Inclusive and exclusive boxes, x1 y1 x2 y2 in pixels.

Tubes, their files and drawing name the last pixel of a box (inclusive). Detectron2 and most tools
for annotation name where it ends, one pixel on (exclusive).
"""

from __future__ import annotations

import numpy as np

_LAST = np.array([0, 0, 1, 1], np.float32)


def to_inclusive(boxes: np.ndarray) -> np.ndarray:
    """Inclusive boxes (..., 4) of exclusive ones; what is less than a pixel wide becomes one."""
    first, end = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([first, np.maximum(end - 1, first)], axis=-1)


def to_exclusive(boxes: np.ndarray) -> np.ndarray:
    """Exclusive boxes (..., 4) of inclusive ones."""
    return boxes + _LAST


def scale_boxes(boxes: np.ndarray, factor: np.ndarray | float) -> np.ndarray:
    """Inclusive boxes (..., 4) on an image enlarged by a factor, or by one for each coordinate."""
    return to_exclusive(boxes) * factor - _LAST
