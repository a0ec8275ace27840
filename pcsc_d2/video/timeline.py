"""Where on a timeline each tube goes, and which times are marked."""

from __future__ import annotations

import math

import numpy as np

# Seconds between marks that people can count in.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def pack_rows(spans: np.ndarray) -> np.ndarray:
    """Put spans into as few rows as keep them apart.

    Args:
        spans: (n, 2) start and end.

    Returns:
        (n,) row of each span, 0-based.
    """
    rows = np.zeros(len(spans), np.int64)
    free_at: list[float] = []
    for i in np.argsort(spans[:, 0], kind="stable").tolist():
        fitting = (row for row, free in enumerate(free_at) if free <= spans[i, 0])
        rows[i] = next(fitting, len(free_at))
        if rows[i] == len(free_at):
            free_at.append(0.0)
        free_at[rows[i]] = spans[i, 1]
    return rows


def marks(start: float, end: float, most: int = 8) -> list[float]:
    """Times in seconds that are worth a mark between two, ``most`` or fewer, by a round step."""
    step = next((s for s in _STEPS if (end - start) / s < most), (end - start) / (most - 1))
    first, last = math.ceil(start / step - 1e-6), math.floor(end / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def clock(seconds: float) -> str:
    """A time as people read it: 0.5, 12, 1:05, 1:02:03."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.3g}"
    minutes = f"{whole // 60 % 60}:{whole % 60:02d}"
    return minutes if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
