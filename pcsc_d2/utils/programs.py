"""Parts of the work that run as Python programs of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

INTERRUPTED = 130
_running: set[subprocess.Popen[bytes]] = set()
# Seconds that a program has to put things in order before it is killed.
_PATIENCE = 10
# And to end by itself, as one does that Ctrl-C in a terminal has reached too: told to end while it
# does so, it would end as if it had not said that it was interrupted.
_GRACE = 3


def run_module(
    words: Sequence[str], environment: Mapping[str, str] | None = None, log: IO | None = None
) -> int:
    """Run ``python -m`` with this interpreter; the exit status.

    Args:
        words: the module and its arguments.
        environment: None takes this process's.
        log: an open file for all output; None shares this process's, and on Ctrl-C leaves saying
            so to the program.
    """
    output = {} if log is None else {"stdout": log, "stderr": subprocess.STDOUT}
    with subprocess.Popen([sys.executable, "-m", *words], env=environment, **output) as program:
        _running.add(program)
        try:
            return program.wait()
        except KeyboardInterrupt:
            if log is None:
                with suppress(subprocess.TimeoutExpired):
                    program.wait(_GRACE)
            _end(program)
            if log is None and program.returncode == INTERRUPTED:
                sys.exit(INTERRUPTED)
            raise
        finally:
            _running.discard(program)


def end_programs() -> None:
    """End what other threads are running."""
    for program in list(_running):
        _end(program)


def _end(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
