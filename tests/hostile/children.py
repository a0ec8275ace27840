"""Hostile inputs given to processes of their own, a new one after each that did not survive."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.hostile.outcomes import LONGEST

_ROOT = Path(__file__).parents[2]
# Seconds for an input, with the start of the process that reads it.
_LIMIT = 2 * LONGEST


class Outcome(NamedTuple):
    """What became of an input, and what was told about it."""

    seed: int
    family: str
    result: str
    told: str


class Child:
    """A process that reads hostile inputs; see ``tests.hostile.outcomes``.

    Args:
        base: a pickle of ``Base``.
        folder: where the inputs are made.
    """

    def __init__(self, base: Path, folder: Path) -> None:
        words = [sys.executable, "-m", "tests.hostile.outcomes", str(base), str(folder)]
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        self._log = (folder / "errors").open("wb+")
        self._process = subprocess.Popen(
            words,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def ask(self, seed: int, family: str) -> Outcome:
        """Let it read an input; after "crashes" and "hangs" it is gone."""
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{seed} {family}\n".encode())
            self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _LIMIT)
        if not ready:
            return Outcome(seed, family, "hangs", self.end())
        line = self._process.stdout.readline()
        if not line:
            return Outcome(seed, family, "crashes", self.end())
        return Outcome(seed, family, *json.loads(line))

    def kill(self) -> None:
        """End it as an input could."""
        self._process.kill()

    def end(self) -> str:
        """End it; what it said last, and how it ended."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process.stdout.close()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        self._log.close()
        name = signal.Signals(-status).name if status < 0 else status
        return f"{said[:3000]}\nended with {name}"


def outcomes(inputs: Iterable[tuple[int, str]], base: Path, folder: Path) -> Iterator[Outcome]:
    """The outcomes of seeds and their families.

    Args:
        base: a pickle of ``Base``.
        folder: where the inputs are made.
    """
    child = None
    for seed, family in inputs:
        child = child or Child(base, folder)
        found = child.ask(seed, family)
        yield found
        if found.result == "fills the memory":  # what comes next is measured from there
            child.end()
        if found.result in ("crashes", "hangs", "fills the memory"):
            child = None
    if child is not None:
        child.end()
