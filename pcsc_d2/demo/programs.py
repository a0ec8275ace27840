"""Parts of the demo that run as programs of their own, what they say in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pcsc_d2.utils.programs import run_module

_MOST_THREADS = 4


def suitable_threads() -> int:
    """Threads for small networks: half of the cores that are free, one to four.

    OpenMP's threads wait for each other by spinning: where cores are busy with something else, or
    few, more threads take several times as long as one.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = (usable or 1) - (os.getloadavg()[0] if hasattr(os, "getloadavg") else 0)
    return min(max(int(free) // 2, 1), _MOST_THREADS)


def run_quietly(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run ``python -m`` with suitable threads; all that it says goes to a file.

    Args:
        words: the module and its arguments.
        log: the file.
        environment: variables beside those of this process.

    Raises:
        ChildProcessError: the program failed, with the last line that it said.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(suitable_threads()))
    added = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **(environment or {})}
    with open(log, "w", encoding="utf-8") as file:
        status = run_module(words, os.environ | added, file)
    if status:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        told = f": {last[0]}" if last else ""
        raise ChildProcessError(f"{words[0]} ended with status {status}; see {log}{told}")
