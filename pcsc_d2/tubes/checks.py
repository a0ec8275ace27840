"""Checks shared by the structures; each raises a ValueError that names what is wrong and where."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def require(condition: bool | np.bool_, message: str) -> None:
    """Raise ValueError(message) unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError where the array's shape is another."""
    require(array.shape == shape, f"'{name}' has shape {array.shape}; expected {shape}")


def check_pointers(name: str, pointers: np.ndarray, rows: int, end: int, least: int = 0) -> None:
    """Raise ValueError unless (rows+1,) pointers rise from 0 to ``end`` by ``least`` or more."""
    check_shape(name, pointers, (rows + 1,))
    require(pointers[0] == 0, f"'{name}' starts at {pointers[0]}; expected 0")
    short = np.flatnonzero(np.diff(pointers) < least)
    if short.size:
        i = int(short[0])
        what = "is unsorted" if pointers[i + 1] < pointers[i] else "has an empty row"
        raise ValueError(f"'{name}' {what} at row {i}: {pointers[i]} then {pointers[i + 1]}")
    require(pointers[-1] == end, f"'{name}' ends at {pointers[-1]}; expected {end}")


def check_range(
    name: str, values: np.ndarray, size: int, what: str, where: Callable[[int], str]
) -> None:
    """Raise ValueError unless all values are in [0, size)."""
    bad = np.flatnonzero((values < 0) | (values >= size))
    if bad.size:
        i = int(bad[0])
        raise ValueError(f"unknown {what} {values[i]} in '{name}' ({where(i)}); there are {size}")


def check_finite(name: str, values: np.ndarray, where: Callable[[int], str]) -> None:
    """Raise ValueError where a value is NaN or infinite."""
    if not np.isfinite(values).all():
        rows = ~np.isfinite(values)
        i = int(np.flatnonzero(rows if rows.ndim == 1 else rows.any(1))[0])
        raise ValueError(f"NaN or infinity in '{name}' ({where(i)})")


def check_boxes(boxes: np.ndarray, where: Callable[[int], str]) -> None:
    """Raise ValueError unless (N, 4) boxes are finite with x1 <= x2 and y1 <= y2."""
    check_shape("boxes", boxes, (len(boxes), 4))
    check_finite("boxes", boxes, where)
    inverted = (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if inverted.any():
        i = int(np.flatnonzero(inverted)[0])
        raise ValueError(f"inverted box {boxes[i].tolist()} ({where(i)}); expected x1 y1 x2 y2")


def check_unique(name: str, values: np.ndarray) -> None:
    """Raise ValueError where a name occurs twice."""
    unique, counts = np.unique(values, return_counts=True)
    require((counts == 1).all(), f"'{name}' names {unique[counts > 1][:1].tolist()} twice")


def index_of(names: np.ndarray, chosen: np.ndarray, what: str) -> np.ndarray:
    """Positions (n,) of the chosen names among ``names``; ValueError names an unknown one."""
    position = {name: i for i, name in enumerate(names.tolist())}
    unknown = [name for name in chosen.tolist() if name not in position]
    if unknown:
        raise ValueError(f"unknown {what} '{unknown[0]}' (and {len(unknown) - 1} more)")
    return np.array([position[name] for name in chosen.tolist()], dtype=np.int64)
