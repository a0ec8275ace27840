"""Processes of one job on the CPU, for tests of what they do together."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from pcsc_d2.parallel import prepare_waiting


def on_ranks(
    work: Callable[..., object],
    ranks: int,
    folder: Path,
    *arguments: object,
    limit: float | None = None,
) -> list:
    """What ``work(*arguments)`` gives on each of some processes, whose collectives have ``limit``
    seconds (3).

    They are forked from a server that has imported what they need and runs no threads: a fork of
    the tests' own process, where engines left their threads, may crash. ``work`` is a function of
    a module.
    """
    multiprocessing.set_forkserver_preload(["pcsc_d2.engine", "pcsc_d2.evaluation"])
    # The server keeps the environment that it was started with.
    jobs = (ranks, str(folder), dict(os.environ), work, arguments, limit or LIMIT)
    mp.start_processes(_rank, jobs, nprocs=ranks, start_method="forkserver")
    return [torch.load(folder / f"answer{rank}", weights_only=False) for rank in range(ranks)]


def _rank(
    rank: int,
    ranks: int,
    folder: str,
    environment: dict[str, str],
    work: Callable,
    arguments: tuple,
    limit: float,
) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment | {"LOCAL_RANK": str(rank)})
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=limit),
    )
    comm.create_local_process_group(ranks)
    prepare_waiting()
    torch.save(work(*arguments), f"{folder}/answer{rank}")
    with suppress(RuntimeError):
        dist.destroy_process_group()


LIMIT = 3.0
"""Seconds that a collective may take."""
STALL = 5.0
"""Seconds of work of one process that the others wait for."""
