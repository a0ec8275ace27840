"""Where a run's optical flow comes from and where it is kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils import comm

from pcsc_d2.data.datasets import dataset_cache, dataset_root, flow_videos
from pcsc_d2.flow.conversion import FlowFiles
from pcsc_d2.flow.methods import FLOW_METHODS, flow_method
from pcsc_d2.flow.store import FlowReport, FlowStore
from pcsc_d2.parallel import all_gather, wait_for_all

logger = logging.getLogger(__name__)

Video = tuple[str, str]


def flow_store(cfg: CfgNode) -> FlowStore:
    """The store of INPUT.FLOW: beside the videos, in a folder, or none ("none": on the fly).

    Raises:
        ValueError: a method that is neither known nor the name of converted flow.
    """
    node = cfg.INPUT.FLOW
    bound = node.BOUND or None
    if node.METHOD not in FLOW_METHODS:
        folder = _converted_folder(node.METHOD, node.CACHE)
        return FlowStore(folder, FlowFiles(node.METHOD), bound)
    method = flow_method(node.METHOD, node.WEIGHTS, node.DEVICE)
    if "none" in (node.CACHE, node.METHOD):
        return FlowStore(None, method, bound)
    return FlowStore(
        dataset_cache("flow") if node.CACHE == "auto" else Path(node.CACHE), method, bound
    )


def _converted_folder(method: str, cache: str) -> Path:
    """The flow folder that holds flow made elsewhere; ValueError where there is none."""
    if cache == "none":
        raise ValueError(
            f"INPUT.FLOW: '{method}' is no method that is computed ({', '.join(FLOW_METHODS)}), "
            "and flow that was made elsewhere cannot be had with CACHE none"
        )
    folders = [dataset_cache("flow"), dataset_root() / "flow"] if cache == "auto" else [Path(cache)]
    for folder in folders:
        if (folder / method).is_dir():
            return folder
    raise ValueError(
        f"unknown flow method '{method}'; there are {', '.join(FLOW_METHODS)}, and no flow "
        f"converted under that name in {folders[0]} (see docs/pages/datasets.md)"
    )


def precompute_flow(cfg: CfgNode, dataset_names: Iterable[str]) -> list[FlowReport]:
    """Compute the flow of all videos of some datasets that is not on disk yet.

    The ranks of a machine share its work and its cores. Each machine makes all flow, since its
    folder may be its own; where machines have one folder, a video that another one has made is
    passed over. Does nothing where flow is computed on the fly.

    Returns:
        This machine's report for each rule by which frames are counted; none on its other ranks.
    """
    store, reports = flow_store(cfg), []
    if store.folder is not None:
        processes = max(1, (os.cpu_count() or 1) // comm.get_local_size())
        first = comm.get_local_rank() == 0
        for rule, videos in flow_videos(dataset_names).items():
            mine = store.precompute(_share([*videos.items()]), rule, processes, progress=first)
            reports.append(sum(all_gather(mine)[_machine()], FlowReport()))
            if first and reports[-1].failed:
                logger.warning("%s; clips of those videos are left out", reports[-1])
    wait_for_all()
    return reports if comm.get_local_rank() == 0 else []


def _machine() -> slice:
    """The ranks of this rank's machine."""
    size = comm.get_local_size()
    return slice(comm.get_rank() // size * size, (comm.get_rank() // size + 1) * size)


def _share(videos: list[Video]) -> list[Video]:
    """This rank's part of what its machine makes: first what is its machine's, then from the end
    what is others', so that machines with one folder rarely make the same at the same time."""
    size, ranks = comm.get_local_size(), comm.get_world_size()
    machine, machines = comm.get_rank() // size, ranks // size
    order = videos[machine::machines]
    for other in range(machine + 1, machine + machines):
        order += reversed(videos[other % machines :: machines])
    return order[comm.get_local_rank() :: size]
