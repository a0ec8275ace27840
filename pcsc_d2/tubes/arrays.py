"""What the structures share: typed fields, reading them from disk, and row ranges."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from pcsc_d2.tubes import checks
from pcsc_d2.utils import files as io
from pcsc_d2.utils.parsing import reading

Structure = TypeVar("Structure")
Arrays = dict[str, Any]


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The integers start .. start + length - 1 of every row, one row after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def cast_fields(structure: Any, dtypes: Mapping[str, type]) -> None:
    """Give the fields of a frozen dataclass their dtypes; ValueError where integers are not."""
    for name, dtype in dtypes.items():
        value = getattr(structure, name)
        if value is not None:
            if np.issubdtype(dtype, np.integer):
                _check_integers(name, np.asarray(value), dtype)
            object.__setattr__(structure, name, np.ascontiguousarray(value, dtype))


def _check_integers(name: str, values: np.ndarray, dtype: type) -> None:
    if values.dtype == dtype or values.size == 0:
        return
    checks.require(values.dtype.kind in "iub", f"'{name}' holds {values.dtype}, not integers")
    info = np.iinfo(dtype)
    fits = values.min() >= info.min and values.max() <= info.max
    checks.require(fits, f"'{name}' holds values that do not fit {np.dtype(dtype)}")


def load_fields(
    cls: type[Structure],
    path: str | os.PathLike[str],
    optional: tuple[str, ...],
    names: Mapping[str, str] = MappingProxyType({}),
    usable: Callable[[Arrays], tuple[Arrays, int]] | None = None,
) -> Structure:
    """Read a dataclass of arrays from ``.npz``; ValueError names the file and what is wrong.

    Args:
        optional: fields that the file may lack.
        names: field -> its name in the file, where that is another.
        usable: leaves out of the fields the rows that cannot be; also gives their number. A
            warning says it with the first reason.
    """
    in_file = {f.name: names.get(f.name, f.name) for f in fields(cls)}
    required = tuple(in_file[name] for name in in_file if name not in optional)
    arrays = io.load_arrays(path, required, optional)
    what = cls.__name__.lower()
    with reading(path, what):
        given = {name: arrays.get(key) for name, key in in_file.items()}
        try:
            return cls(**given)
        except ValueError as error:
            made, left_out = _of_usable(cls, given, usable)
            if made is None or not len(made):
                raise
            amount = f"{left_out} of {left_out + len(made)} {what} are left out"
            warnings.warn(f"{path}: {amount} (the first: {error})", stacklevel=4)
            return made


def _of_usable(
    cls: type[Structure],
    given: Arrays,
    usable: Callable[[Arrays], tuple[Arrays, int]] | None,
) -> tuple[Structure | None, int]:
    """The structure of the rows that can be, and the number of the others; None if it has none."""
    if usable is None:
        return None, 0
    try:
        fields_left, number = usable(given)
        return cls(**fields_left), number
    except Exception:  # more is wrong than some rows, which the first error says
        return None, 0


def fine_numbers(boxes: np.ndarray, *columns: np.ndarray | None) -> np.ndarray:
    """Which rows (N,) of boxes (N, 4) are no inverted ones and have finite numbers."""
    boxes = np.asarray(boxes, np.float32)
    fine = np.isfinite(boxes).all(1) & (boxes[:, :2] <= boxes[:, 2:]).all(1)
    for column in columns:
        if column is not None:
            fine &= np.isfinite(np.asarray(column, np.float32))
    return fine
