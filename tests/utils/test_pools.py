"""Processes are started afresh, never as forks of one that may hold threads."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pcsc_d2
from pcsc_d2.utils.pools import process_pool

PACKAGE = Path(pcsc_d2.__file__).parent


def test_workers_are_no_forks_of_this_process() -> None:
    with process_pool(2) as pool:
        parents = {pool.submit(os.getppid).result() for _ in range(4)}
    assert os.getpid() not in parents


def test_a_killed_worker_is_told_in_one_line() -> None:
    def job() -> None:
        with process_pool(1) as pool:
            pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()

    with pytest.raises(ChildProcessError, match="a process that shared the work was killed"):
        job()


PROGRAM = """
import sys, time
from pcsc_d2.cli.outcome import exit_status
from pcsc_d2.utils.pools import process_pool

def work():
    print("ready", flush=True)
    with process_pool(2, ["pcsc_d2.flow.store"], {prepare}) as pool:
        list(pool.map(time.sleep, [0.5] * 6))

sys.exit(exit_status(work, "flow"))
"""


def started(prepare: str = "None") -> subprocess.Popen:
    """A program whose pool is about to start, in a group of its own."""
    job = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("{prepare}", prepare)],
        cwd=PACKAGE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs begin with the signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert job.stdout.readline() == "ready\n"
    return job


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pool_that_is_ended_as_it_starts_says_one_line(
    number: signal.Signals, seconds: float
) -> None:
    job = started()
    time.sleep(seconds)
    # A terminal sends Ctrl-C to all processes.
    (os.killpg if number == signal.SIGINT else os.kill)(job.pid, number)
    _, said = job.communicate(timeout=120)
    assert (said, job.returncode) == ("interrupted\n", 130)


def test_a_killed_program_s_pool_says_nothing() -> None:
    job = started()
    time.sleep(0.4)
    job.kill()
    _, said = job.communicate(timeout=120)
    assert said == ""


def test_a_worker_that_is_ended_as_it_prepares_says_nothing() -> None:
    job = started("lambda: None")  # cannot be sent, to see that what is said is seen
    assert "Can't pickle" in job.communicate(timeout=120)[1]
    ended = "__import__('functools').partial(__import__('signal').raise_signal, 15)"
    [line] = started(ended).communicate(timeout=120)[1].splitlines()
    assert line.startswith("error: a process that shared the work was killed")


# What forks, or on Linux does unless it is told how to start.
FORKS = {"fork", "forkpty", "Pool", "Process", "ProcessPoolExecutor"}


def test_nothing_else_forks() -> None:
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and not node.module.startswith("pcsc_d2"):
                used |= {name.name for name in node.names}
        assert path.name == "pools.py" or not used & FORKS, path
