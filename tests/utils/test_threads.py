"""Arrays are read in threads at the same time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.utils.files import load_array, load_arrays, save_arrays


class Cycle:
    """What only the garbage collector frees, at which another thread may go on."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(200):
            pass


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns, and garbage that is collected, at every chance."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_threads_do_not_disturb_each_other(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"arrays.{kind}"
    records = np.ones(2, np.dtype([(f"c{i}", "<f2", (3, 2, 2)) for i in range(8)]))
    if kind == "npy":
        np.save(path, records)
    else:
        save_arrays(path, {"records": records})

    def read(_: int) -> bool:
        for _ in range(5):
            Cycle()
        found = load_array(path, True) if kind == "npy" else load_arrays(path, ("records",))
        return np.array_equal(found if kind == "npy" else found["records"], records)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(600)))
