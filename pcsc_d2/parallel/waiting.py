"""Waits for work of any length, which the time limit of collectives must not end.

A collective that one process does not reach within the limit ends the job, which is right for a
step of training. Where processes wait for work of their own (optical flow, fitting, scoring), they
do so in a group without such a limit; a process that dies ends these waits too.
"""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from detectron2.utils import comm

Data = TypeVar("Data")
_NO_LIMIT = timedelta(days=365)
# Seconds between looks for a file.
_LOOK = 0.5


@functools.lru_cache(maxsize=1)
def _group() -> dist.ProcessGroup:
    return dist.new_group(backend="gloo", timeout=_NO_LIMIT)


def prepare_waiting() -> None:
    """Make the group of the waits, while all processes are together; they all call this."""
    if comm.get_world_size() > 1:
        _group()


def wait_for_all() -> None:
    """Wait until every process is here, however long that takes."""
    if comm.get_world_size() > 1:
        dist.barrier(group=_group())


def gather(data: Data) -> list[Data]:
    """What every process gives, by rank, on the first one; an empty list on the others."""
    return comm.gather(data, group=_group()) if comm.get_world_size() > 1 else [data]


def all_gather(data: Data) -> list[Data]:
    """What every process gives, by rank, on all of them."""
    return comm.all_gather(data, group=_group()) if comm.get_world_size() > 1 else [data]


def wait_for_file(path: Path) -> None:
    """Wait until another process has written a file, however long that takes."""
    while not path.is_file():
        time.sleep(_LOOK)
