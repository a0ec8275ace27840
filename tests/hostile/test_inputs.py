"""Generated hostile inputs, through the public entries: each is read or refused in one line.

A seed is a case; more of them: ``pytest -m nightly tests/hostile``, from PCSC_SEED on.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.base import Base
from tests.hostile.children import Child, outcomes
from tests.hostile.families import FAMILIES
from tests.hostile.outcomes import CLEAN


def check(seeds: range, folder: Path, base: Path) -> None:
    """Print the outcomes by family, and fail for those that are not clean."""
    names, found, bad = list(FAMILIES), Counter(), []
    inputs = ((seed, names[seed % len(names)]) for seed in seeds)
    for seed, family, result, told in outcomes(inputs, base, folder):
        found[family, result] += 1
        if result not in CLEAN:
            bad.append(f"{family} {seed}: {result}: {told[-1500:]}")
    totals = Counter(dict.fromkeys(CLEAN, 0))
    for (family, result), count in sorted(found.items()):
        totals[result] += count
        print(f"{family:<14} {result:<14} {count}")
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {dict(totals)}")
    assert not bad, "\n\n".join(bad[:30])


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, encode: Callable, gray: Callable, noise: Callable
) -> Path:
    folder = tmp_path_factory.mktemp("base")
    made = Base.make(folder, encode, gray, noise)
    (folder / "base.pkl").write_bytes(pickle.dumps(made))
    return folder / "base.pkl"


def test_a_crash_is_an_outcome(tmp_path: Path, base: Path) -> None:
    child = Child(base, tmp_path)
    child.kill()
    found = child.ask(1, "coco")
    assert (found.result, found.told.splitlines()[-1]) == ("crashes", "ended with SIGKILL")


def test_hostile_inputs_end_cleanly(tmp_path: Path, base: Path) -> None:
    check(range(100), tmp_path, base)


@pytest.mark.nightly
def test_many_hostile_inputs_end_cleanly(tmp_path: Path, base: Path) -> None:
    first = int(os.environ.get("PCSC_SEED", "1000"))
    check(range(first, first + 1000), tmp_path, base)
