"""Small pictures made large enough to be looked at, pixel by pixel."""

from __future__ import annotations

import numpy as np

# Pixels of the shorter side: text on a picture smaller than the first is hard to read, and it is
# enlarged to the second or a little more.
_SMALL, _LEGIBLE = 200, 240


def legible_factor(height: int, width: int) -> int:
    """By how much a picture is to be enlarged for text on it to be legible; 1 for large ones."""
    side = min(height, width)
    return -(-_LEGIBLE // side) if side < _SMALL else 1


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """An (H, W, ...) image whose pixels are squares of ``factor`` pixels; itself for 1."""
    return image if factor == 1 else image.repeat(factor, axis=0).repeat(factor, axis=1)
