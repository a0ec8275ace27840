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


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("[pair.cc:1] Timed out waiting 3000ms for recv operation", "did not answer within 3 s"),
        ("[pair.cc:1] Connection closed by peer [127.0.0.1]:1", "has gone"),
    ],
)
def test_work_that_another_process_ends_says_so_in_one_line(
    said: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: argparse.Namespace) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(launching, "_TURN", 0)
    with pytest.raises(ConnectionError, match=f"another process of the job {line}.*--resume"):
        launching._in_turn(work, argparse.Namespace(timeout=3.0))


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
