"""Waits outlast the time limit of collectives."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pytest
from detectron2.utils import comm

from pcsc_d2.cli import launching
from pcsc_d2.parallel import all_gather, gather, wait_for_all
from tests.ranks import LIMIT, STALL, on_ranks


def stall_at_each_wait(seconds: float) -> list[object]:
    found = []
    for wait in (lambda: wait_for_all(), lambda: gather(comm.get_rank()), lambda: all_gather("x")):
        if comm.get_rank() == 1:
            time.sleep(seconds)
        found.append(wait())
    return found


def stall_at_a_collective() -> str:
    if comm.get_rank() == 1:
        time.sleep(STALL)
    with pytest.raises(RuntimeError) as stopped:
        comm.synchronize()
    return str(stopped.value)


def stall_in_the_work() -> str:
    def work(_: argparse.Namespace) -> None:
        if comm.get_rank() == 1:
            time.sleep(STALL)
        comm.synchronize()

    launching._TURN = 0
    with pytest.raises(ConnectionError) as stopped:
        launching._in_turn(work, argparse.Namespace(timeout=LIMIT))
    return str(stopped.value)


def test_work_that_waits_too_long_for_a_rank_says_so_in_one_line(tmp_path: Path) -> None:
    first, second = on_ranks(stall_in_the_work, 2, tmp_path)
    assert first == (
        "another process of the job did not answer within 3 s (--timeout); --resume goes on"
    )
    assert "another process of the job" in second


@pytest.mark.parametrize(
    ("seconds", "limit"), [(STALL, LIMIT), pytest.param(90, 45, marks=pytest.mark.nightly)]
)
def test_a_rank_that_stalls_is_waited_for(seconds: float, limit: float, tmp_path: Path) -> None:
    assert on_ranks(stall_at_each_wait, 2, tmp_path, seconds, limit=limit) == [
        [None, [0, 1], ["x", "x"]],
        [None, [], ["x", "x"]],
    ]


def test_collectives_do_have_a_limit(tmp_path: Path) -> None:
    assert len(on_ranks(stall_at_a_collective, 2, tmp_path)) == 2


def test_one_process_waits_for_nobody() -> None:
    wait_for_all()
    assert gather(3) == all_gather(3) == [3]
