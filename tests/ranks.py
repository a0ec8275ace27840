"""Processes of one job on the CPU, for tests of what they do together."""

from __future__ import annotations

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


def on_ranks(work: Callable[..., object], ranks: int, folder: Path, *arguments: object) -> list:
    """What ``work(*arguments)`` gives on each of some processes, whose collectives have 3 s.

    They are forked, which spares them importing torch.
    """
    jobs = (ranks, str(folder), work, arguments)
    mp.start_processes(_rank, jobs, nprocs=ranks, start_method="fork")
    return [torch.load(folder / f"answer{rank}", weights_only=False) for rank in range(ranks)]


def _rank(rank: int, ranks: int, folder: str, work: Callable, arguments: tuple) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=LIMIT),
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
