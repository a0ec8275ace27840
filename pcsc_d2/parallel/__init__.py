"""Processes that train together: how they come together, wait for each other and share work."""

from pcsc_d2.parallel.joining import (
    Place,
    joined,
    local_world_size,
    restarts,
    started_by_torchrun,
)
from pcsc_d2.parallel.sharing import (
    batch_of_rank,
    boxes_share,
    shared_buffers,
    unused_parameters_loss,
)
from pcsc_d2.parallel.waiting import (
    all_gather,
    gather,
    prepare_waiting,
    wait_for_all,
    wait_for_file,
)

__all__ = [
    "Place",
    "all_gather",
    "batch_of_rank",
    "boxes_share",
    "gather",
    "joined",
    "local_world_size",
    "prepare_waiting",
    "restarts",
    "shared_buffers",
    "started_by_torchrun",
    "unused_parameters_loss",
    "wait_for_all",
    "wait_for_file",
]
