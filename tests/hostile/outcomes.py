"""What becomes of hostile inputs, each by its seed: a program of its own, since they may end it.

Reads ``<seed> <family>`` lines, and answers each with a line of JSON.
"""

from __future__ import annotations

import faulthandler
import io
import json
import logging
import os
import pickle
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from pcsc_d2.cli import main
from pcsc_d2.utils.text import printable
from tests.hostile.base import CANARY, Base
from tests.hostile.families import FAMILIES

# Seconds of work after which an input counts as one that hangs, and seconds whatever it does, on a
# machine that others use too; bytes that none may take.
PATIENCE, LONGEST = 20.0, 600.0
MOST_MEMORY = 1 << 30
_LIMIT = 6 << 30
CLEAN = {"read", "one line"}


class HangsError(BaseException):
    """An input takes longer than any of them may."""


@contextmanager
def patience() -> Iterator[None]:
    """Raise HangsError where the block takes longer."""

    def stop(*_: object) -> None:
        raise HangsError

    limits = (signal.ITIMER_PROF, PATIENCE), (signal.ITIMER_REAL, LONGEST)
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, stop)
    for timer, seconds in limits:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in limits:
            signal.setitimer(timer, 0)


def verdict(status: object, told: str, path: Path) -> str:
    """What became of an input of the command line or, with an error's text, of a function."""
    if status != 2:
        return "read"
    lines = [line for line in told.strip().splitlines() if line.startswith("error")]
    if len(lines) != 1 or told.strip().splitlines()[-1] != lines[0]:
        return "not one line"
    named = (printable(path.name), path.stem, path.parent.name)
    return "one line" if any(name in lines[0] for name in named) else "names no file"


def outcome(seed: int, family: str, folder: Path, base: Base) -> tuple[str, str]:
    """The outcome of a seed and what was told; see ``verdict``."""
    before = _peak()
    result, told = _outcome(random.Random(f"{family} {seed}"), family, folder, base)
    if any(folder.rglob(CANARY)):
        return "runs code", told
    return ("fills the memory", told) if _peak() - before > MOST_MEMORY else (result, told)


def _outcome(rng: random.Random, family: str, folder: Path, base: Base) -> tuple[str, str]:
    told = io.StringIO()
    try:
        with patience(), redirect_stderr(told):
            path, work = FAMILIES[family](folder, rng, base)
            told.truncate(0)
            try:
                status = main([str(word) for word in work]) if isinstance(work, list) else work()
            except (ValueError, OSError) as error:
                if isinstance(work, list):
                    raise
                status = 2
                print(f"error: {error}", file=told)
        return verdict(status, told.getvalue().lstrip("\0"), path), told.getvalue()
    except HangsError:
        return "hangs", ""
    except (Exception, SystemExit):
        return "traceback", traceback.format_exc()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def answer(base: Base, folder: Path, answers: io.TextIOBase) -> None:
    """Answer the lines of standard input."""
    for line in sys.stdin:
        seed, family = line.split()
        place = folder / f"{family}{seed}"
        place.mkdir()
        os.chdir(place)
        found = outcome(int(seed), family, place, base)
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
    # What the inputs are printed as is no answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        answer(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), answers)
