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

logger = logging.getLogger(__name__)


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
    if node.CACHE == "none":
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

    The first rank of each machine works, with a process per core; the others wait. Does nothing
    where flow is computed on the fly.

    Returns:
        A report for each rule by which frames are counted; none on the other ranks.
    """
    store, reports = flow_store(cfg), []
    if store.folder is not None and comm.get_local_rank() == 0:
        for rule, videos in flow_videos(dataset_names).items():
            reports.append(store.precompute(videos.items(), rule, processes=os.cpu_count() or 1))
            if reports[-1].failed:
                logger.warning("%s; clips of those videos are left out", reports[-1])
    comm.synchronize()
    return reports
