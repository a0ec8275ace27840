"""Generated hostile inputs, through the public entries: each is read or refused in one line.

A seed is a case; more of them: ``pytest -m nightly tests/hostile``, from PCSC_SEED on.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.utils.text import printable
from tests.hostile.families import FAMILIES, Base

# Seconds after which an input counts as one that hangs.
PATIENCE = 20.0
CLEAN = {"read", "one line"}


class HangsError(BaseException):
    """An input takes longer than any of them may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def verdict(status: object, told: str, path: Path) -> str:
    """What became of an input of the command line or, with an error's text, of a function."""
    if status != 2:
        return "read"
    lines = [line for line in told.strip().splitlines() if line.startswith("error")]
    if len(lines) != 1 or told.strip().splitlines()[-1] != lines[0]:
        return "not one line"
    named = (printable(path.name), path.stem, path.parent.name)
    return "one line" if any(name in lines[0] for name in named) else "names no file"


def outcome(seed: int, family: str, folder: Path, base: Base, capsys) -> tuple[str, str]:
    """The outcome of a seed and what was told; see ``verdict``."""
    rng = random.Random(f"{family} {seed}")
    try:
        with within(PATIENCE):
            path, work = FAMILIES[family](folder, rng, base)
            capsys.readouterr()
            try:
                status = main([str(word) for word in work]) if isinstance(work, list) else work()
                told = capsys.readouterr().err
            except (ValueError, OSError) as error:
                if isinstance(work, list):
                    raise
                status, told = 2, f"error: {error}"
        return verdict(status, told, path), told
    except HangsError:
        return "hangs", ""
    except (Exception, SystemExit):
        return "traceback", traceback.format_exc()


def check(seeds: range, tmp_path_factory, base: Base, capsys) -> None:
    names, found, bad = list(FAMILIES), Counter(), []
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            family = names[seed % len(names)]
            result, told = outcome(seed, family, tmp_path_factory.mktemp("h"), base, capsys)
            found[family, result] += 1
            if result not in CLEAN:
                bad.append(f"{family} {seed}: {result}: {told[-600:]}")
    logging.disable(logging.NOTSET)
    totals = Counter(dict.fromkeys(CLEAN, 0))
    for (family, result), count in sorted(found.items()):
        totals[result] += count
        print(f"{family:<14} {result:<14} {count}")
    print(dict(totals))
    assert not bad, "\n\n".join(bad[:12])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, encode: Callable, gray: Callable) -> Base:
    return Base.make(tmp_path_factory.mktemp("base"), encode, gray)


def test_hostile_inputs_end_cleanly(tmp_path_factory, base: Base, capsys) -> None:
    check(range(100), tmp_path_factory, base, capsys)


@pytest.mark.nightly
def test_many_hostile_inputs_end_cleanly(tmp_path_factory, base: Base, capsys) -> None:
    first = int(os.environ.get("PCSC_SEED", "1000"))
    check(range(first, first + 1000), tmp_path_factory, base, capsys)
