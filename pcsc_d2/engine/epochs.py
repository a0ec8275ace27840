"""A schedule in epochs, as papers give it, as Detectron2's schedule in iterations."""

from __future__ import annotations

import math

from detectron2.config import CfgNode
from detectron2.data import get_detection_dataset_dicts


def epochs_to_iterations(cfg: CfgNode, dataset_size: int | None = None) -> CfgNode:
    """The config with MAX_ITER and STEPS set from SOLVER.EPOCHS and SOLVER.STEP_EPOCHS.

    A config without epochs comes back as it is. An epoch is a pass over the key frames of
    DATASETS.TRAIN, rounded up to whole batches.
    """
    if cfg.SOLVER.EPOCHS <= 0:
        return cfg
    if dataset_size is None:
        filter_empty = cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        dataset_size = len(get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty))
    per_epoch = dataset_size / cfg.SOLVER.IMS_PER_BATCH
    cfg = cfg.clone()
    frozen = cfg.is_frozen()
    cfg.defrost()
    cfg.SOLVER.MAX_ITER = max(1, math.ceil(cfg.SOLVER.EPOCHS * per_epoch))
    cfg.SOLVER.STEPS = tuple(math.ceil(e * per_epoch) for e in cfg.SOLVER.STEP_EPOCHS)
    cfg.SOLVER.EPOCHS = 0.0
    if frozen:
        cfg.freeze()
    return cfg
