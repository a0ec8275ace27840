"""What the structures share: typed fields, reading them from disk, and row ranges."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from pcsc_d2.tubes import checks
from pcsc_d2.utils import files as io
from pcsc_d2.utils.parsing import reading

Structure = TypeVar("Structure")


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
) -> Structure:
    """Read a dataclass of arrays from ``.npz``; ValueError names the file and what is wrong.

    Args:
        optional: fields that the file may lack.
        names: field -> its name in the file, where that is another.
    """
    in_file = {f.name: names.get(f.name, f.name) for f in fields(cls)}
    required = tuple(in_file[name] for name in in_file if name not in optional)
    arrays = io.load_arrays(path, required, optional)
    with reading(path, cls.__name__.lower()):
        return cls(**{name: arrays.get(key) for name, key in in_file.items()})
