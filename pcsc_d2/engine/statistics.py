"""The norms' statistics of a flow trunk that starts from weights for RGB.

Optical flow has other statistics than RGB: under those that came with the weights, features of flow
say next to nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from fvcore.nn.precise_bn import update_bn_stats
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import SequentialSampler

from pcsc_d2.data import ClipMapper, dataset_root, evaluation_loader
from pcsc_d2.data.datasets import annotated_dicts
from pcsc_d2.layers.i3d_weights import read_weights
from pcsc_d2.model_zoo.kinetics import CHECKPOINT, KINETICS
from pcsc_d2.modeling.stream import Stream
from pcsc_d2.parallel import wait_for_file
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.weights import save_tensors

logger = logging.getLogger(__name__)
_BATCH = 4
# What was kept for another kind of stem does not fit.
_STEM = "along directions"


def estimate_statistics(cfg: CfgNode, stream: Stream) -> None:
    """Give the trunk of a flow stream statistics of flow, where it starts from weights for RGB.

    They are estimated on MODEL.I3D.PRECISE_BN clips that are spread evenly over the training set,
    and kept in the user's cache for the next run with the same data and settings. Does nothing for
    other streams and weights. On several ranks, all estimate, and take what the first one of their
    machine kept.
    """
    trunk = stream.backbone.bottom_up.trunk
    norms = [m for m in trunk.modules() if isinstance(m, _BatchNorm)]
    starts_from_rgb = cfg.MODEL.FLOW.WEIGHTS == KINETICS and not cfg.MODEL.WEIGHTS
    if stream.source != "flow" or not (starts_from_rgb and cfg.MODEL.I3D.PRECISE_BN and norms):
        return
    path = _kept(cfg)
    if not path.is_file():
        _estimate(cfg, stream, norms)
        if comm.get_local_rank() == 0:
            save_tensors(path, {k: v for k, v in trunk.state_dict().items() if "running" in k})
        # Not all ranks may be here: no collective.
        wait_for_file(path)
    trunk.load_state_dict(read_weights(path), strict=False)
    logger.info("statistics of flow from %s", path)


def _kept(cfg: CfgNode) -> Path:
    """The file of the statistics for these data and settings."""
    size = (cfg.INPUT.CLIP_LENGTH, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    flow = (cfg.INPUT.FLOW.METHOD, cfg.INPUT.FLOW.BOUND, cfg.MODEL.FLOW.PIXEL_STD)
    network = (cfg.MODEL.BACKBONE.NAME, str(cfg.MODEL.S3D))
    trunk = (CHECKPOINT.sha256, _STEM, network, cfg.MODEL.I3D.PRECISE_BN, cfg.MODEL.I3D.CONTEXT)
    data = (str(dataset_root().absolute()), sorted(cfg.DATASETS.TRAIN))
    digest = hashlib.sha256(repr((size, flow, trunk, data)).encode()).hexdigest()[:16]
    return cache_folder("weights") / f"kinetics_i3d_flow_statistics_{digest}.pt"


def _estimate(cfg: CfgNode, stream: Stream, norms: list[_BatchNorm]) -> None:
    dicts = annotated_dicts(cfg)
    count = min(cfg.MODEL.I3D.PRECISE_BN, len(dicts))
    chosen = [dicts[i] for i in np.linspace(0, len(dicts) - 1, count).round().astype(int)]
    logger.info("estimating statistics of flow on %d clips", count)
    mapper = ClipMapper(cfg, is_train=False)
    loader = evaluation_loader(cfg, chosen, mapper, "DATASETS.TRAIN", SequentialSampler(chosen))
    with _estimating(norms):
        trunk = stream.backbone.bottom_up.trunk
        update_bn_stats(trunk, _batches(stream, loader), -(-count // _BATCH), "tqdm")


def _batches(stream: Stream, loader: Iterable[list[dict]]) -> Iterator[torch.Tensor]:
    """Normalised clips, a few at a time, from the beginning again after the last."""
    readable: Iterator[dict] = iter(())
    while True:
        inputs = list(itertools.islice(readable, _BATCH))
        if inputs:
            yield stream.preprocess(inputs).tensor
            continue
        readable = itertools.chain.from_iterable(loader)
        first = next(readable, None)
        if first is None:
            raise ValueError("no clip of DATASETS.TRAIN can be read")
        readable = itertools.chain([first], readable)


@contextmanager
def _estimating(norms: list[_BatchNorm]) -> Iterator[None]:
    """Norms that take a batch's statistics, frozen or not."""
    before = [norm.training for norm in norms]
    for norm in norms:
        norm.train()
        norm.estimating = True
    try:
        yield
    finally:
        for norm, training in zip(norms, before):
            norm.train(training)
            norm.estimating = False
