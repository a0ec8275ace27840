"""Processes are started afresh, never as forks of one that may hold threads."""

from __future__ import annotations

import ast
import os
import signal
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
