"""Key frames of a tube between which its boxes lie on straight lines, but for a tolerance."""

from __future__ import annotations

import numpy as np

# Pixels within which two distances are the same: boxes are 32-bit floats.
_SAME = 1e-3


def key_frames(boxes: np.ndarray, tolerance: float) -> np.ndarray:
    """Positions of the boxes that are kept, the first and the last among them, in order.

    Where linear interpolation between two kept boxes is more than the tolerance off at any edge,
    the box that is off most is kept too (Douglas and Peucker 1973, over frames).

    Args:
        boxes: (n, 4), one a frame.
        tolerance: pixels.
    """
    last = len(boxes) - 1
    kept, open_parts = {0, last}, [(0, last)]
    while open_parts:
        first, last = open_parts.pop()
        off = _distances(boxes[first : last + 1])
        if not len(off) or off.max() <= tolerance:
            continue
        middle = first + 1 + int(np.argmax(off >= off.max() - _SAME))
        kept.add(middle)
        open_parts += [(first, middle), (middle, last)]
    return np.array(sorted(kept))


def _distances(boxes: np.ndarray) -> np.ndarray:
    """(n - 2,) how far each box but the ends is from the line between these."""
    share = np.linspace(0, 1, len(boxes))[1:-1, None]
    line = boxes[0] * (1 - share) + boxes[-1] * share
    return np.abs(boxes[1:-1] - line).max(axis=1, initial=0)
