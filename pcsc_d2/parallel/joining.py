"""How the processes of a job come together, whoever started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from detectron2.utils import comm

from pcsc_d2.parallel.waiting import prepare_waiting
from pcsc_d2.utils.text import one_line


def started_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun started."""
    return {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys()


def restarts() -> int:
    """How often torchrun has started the job again."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def local_world_size() -> int:
    """How many processes torchrun has started on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def _number(name: str, default: int | None = None) -> int:
    """A variable of torchrun's; ValueError where it is none."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"the environment's {name} is {text!r}, which torchrun sets to a number")
    return int(text)


@dataclass(frozen=True)
class Place:
    """Which process of a job this one is.

    Attributes:
        rank: among all, of ``ranks``.
        ranks: their number.
        local_rank: among those of this machine, of ``local_ranks``.
        local_ranks: their number, the same on every machine.
        url: where they meet, as ``torch.distributed`` has it (tcp://host:port, env://).
    """

    rank: int
    ranks: int
    local_rank: int
    local_ranks: int
    url: str

    @classmethod
    def of_environment(cls) -> Place:
        """The one that torchrun describes."""
        rank, ranks, local = map(_number, ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        # Without torchrun there may be no LOCAL_WORLD_SIZE: then they are all on this machine.
        return cls(rank, ranks, local, _number("LOCAL_WORLD_SIZE", ranks), "env://")


@contextmanager
def joined(place: Place, device: str, timeout: timedelta) -> Iterator[None]:
    """Be a process of a job for a while, as Detectron2's ``comm`` knows it.

    Args:
        place: of this process.
        device: MODEL.DEVICE; with "cuda" each process of a machine takes the GPU of its number.
        timeout: of collectives.

    Raises:
        ConnectionError: they cannot meet there.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(place.local_rank)
    try:
        where = dist.rendezvous(place.url, place.rank, place.ranks, timeout=timeout)
        store, rank, ranks = next(where)
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=dist.PrefixStore(f"start{_start(store, rank)}", store),
            rank=rank,
            world_size=ranks,
            timeout=timeout,
        )
    except (RuntimeError, ValueError) as error:
        what = f"the processes of the job cannot meet there ({one_line(error)})"
        raise ConnectionError(f"{place.url}: {what}") from error
    comm.create_local_process_group(place.local_ranks)
    prepare_waiting()
    comm.synchronize()
    yield
    # Not where the work failed: others may wait in a collective, which this would wait for.
    dist.destroy_process_group()


def _start(store: dist.Store, rank: int) -> int:
    """Which start of the job this is: torchrun keeps its store, and in it the addresses of the
    processes that have gone."""
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        return restarts()
    # Each machine counts its own failures alone.
    return store.add(f"pcsc_d2/starts/{rank}", 1)
