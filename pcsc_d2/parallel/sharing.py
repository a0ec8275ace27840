"""What each process gets of a batch, and what makes their losses and statistics one model's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def batch_of_rank(batch: int, ranks: int) -> int:
    """Clips of a batch for each process; ValueError where they cannot be shared evenly."""
    if batch < 1 or batch % ranks:
        nearest = max(1, batch // ranks) * ranks
        options = sorted({nearest, nearest + ranks})
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {batch} cannot be shared by {ranks} processes: set it to "
            f"{' or '.join(map(str, options))}, or give SOLVER.REFERENCE_WORLD_SIZE, the number "
            "of processes that it is meant for, and it grows with them"
        )
    return batch // ranks


def boxes_share(boxes: int, device: torch.device) -> torch.Tensor | float:
    """What a mean over this process's boxes counts, so that the processes' mean is that of the
    whole batch: its number of boxes, by the average number.

    All processes call this together.
    """
    ranks = comm.get_world_size()
    if ranks == 1:
        return 1.0
    mine = torch.tensor(float(boxes), device=device)
    total = mine.clone()
    dist.all_reduce(total)
    return mine * ranks / total.clamp(min=1.0)


@torch.no_grad()
def shared_buffers(model: nn.Module) -> None:
    """Give all processes the first one's buffers (running means), as a checkpoint has them."""
    if comm.get_world_size() == 1:
        return
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    for buffer in inner.buffers():
        dist.broadcast(buffer, 0)


def unused_parameters_loss(parameters: Iterable[nn.Parameter]) -> torch.Tensor:
    """Zero, touching parameters that take no part in an iteration, as those of later stages in the
    warm-up: DistributedDataParallel expects a gradient from each."""
    return 0.0 * sum(parameter.sum() for parameter in parameters)
