"""A schedule in epochs, as papers give it, as Detectron2's schedule in iterations."""

from __future__ import annotations

import math

from detectron2.config import CfgNode

from pcsc_d2.data import count_training_dicts


def epochs_to_iterations(cfg: CfgNode, dataset_size: int | None = None) -> CfgNode:
    """The config with MAX_ITER and STEPS set from SOLVER.EPOCHS and SOLVER.STEP_EPOCHS.

    A config without epochs comes back as it is. An epoch is a pass over the key frames of
    DATASETS.TRAIN, rounded up to whole batches.
    """
    if cfg.SOLVER.EPOCHS <= 0:
        return cfg
    if dataset_size is None:
        dataset_size = count_training_dicts(cfg)
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
