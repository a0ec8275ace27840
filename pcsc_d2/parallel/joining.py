"""Coming together under torchrun, beside Detectron2's ``launch``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from detectron2.utils import comm

from pcsc_d2.parallel.waiting import prepare_waiting


def started_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun started."""
    return {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys()


def restarts() -> int:
    """How often torchrun has started the job again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def joined(device: str, timeout: timedelta) -> Iterator[None]:
    """Be a process of the job that the environment describes, for a while.

    Args:
        device: MODEL.DEVICE; with "cuda" each process of a machine takes the GPU of its number.
        timeout: of collectives.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, ranks = next(dist.rendezvous("env://", timeout=timeout))
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=dist.PrefixStore(f"start{_start(store, rank)}", store),
        rank=rank,
        world_size=ranks,
        timeout=timeout,
    )
    try:
        # Without torchrun there may be no LOCAL_WORLD_SIZE: then they are all on this machine.
        local = os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])
        comm.create_local_process_group(int(local))
        prepare_waiting()
        comm.synchronize()
        yield
    finally:
        dist.destroy_process_group()


def _start(store: dist.Store, rank: int) -> int:
    """Which start of the job this is: torchrun keeps its store, and in it the addresses of the
    processes that have gone."""
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        return restarts()
    # Each machine counts its own failures alone.
    return store.add(f"pcsc_d2/starts/{rank}", 1)
