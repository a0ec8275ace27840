"""How long a run trains: epochs in iterations, the batch of all processes, what given last wins."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.utils import comm

from pcsc_d2.config import changed
from pcsc_d2.data import count_training_dicts
from pcsc_d2.parallel import batch_of_rank

logger = logging.getLogger(__name__)


def settle(cfg: CfgNode, options: Sequence[object]) -> list[str]:
    """Let iterations that the command line gives later than epochs win over these, in place.

    SOLVER.MAX_ITER turns SOLVER.EPOCHS off, and the drops of SOLVER.STEP_EPOCHS move in
    proportion; SOLVER.STEPS turns SOLVER.STEP_EPOCHS off.

    Args:
        cfg: of the files and of the options.
        options: KEY, VALUE, ... of the command line.

    Returns:
        What was done, a line each.
    """
    solver, done = cfg.SOLVER, []
    if solver.EPOCHS <= 0:
        return done
    last = {str(key): place for place, key in enumerate(options[::2])}

    def later(key: str, other: str) -> bool:
        return last.get(f"SOLVER.{key}", -1) > last.get(f"SOLVER.{other}", -1)

    own_steps = later("STEPS", "STEP_EPOCHS")
    if own_steps:
        done.append(f"SOLVER.STEPS {tuple(solver.STEPS)} as given, in place of STEP_EPOCHS")
    if later("MAX_ITER", "EPOCHS"):
        if not own_steps:
            per_epoch = solver.MAX_ITER / solver.EPOCHS
            solver.STEPS = tuple(math.ceil(e * per_epoch) for e in solver.STEP_EPOCHS)
        done.append(
            f"SOLVER.MAX_ITER {solver.MAX_ITER} as given, in place of {solver.EPOCHS:g} epochs; "
            f"the rate drops at {tuple(solver.STEPS)}"
        )
        solver.EPOCHS = 0.0
    if own_steps or solver.EPOCHS == 0:
        solver.STEP_EPOCHS = ()
    return done


def scheduled(cfg: CfgNode, ranks: int | None = None) -> CfgNode:
    """The config as so many processes train it, for all iterations; twice is as once.

    Where SOLVER.REFERENCE_WORLD_SIZE is not 0, the batch and the rate grow with the processes and
    the iterations shrink (Detectron2's linear scaling); then epochs become iterations.

    Raises:
        ValueError: a batch that the processes cannot share.
    """
    ranks = comm.get_world_size() if ranks is None else ranks
    cfg = _scaled(cfg, ranks)
    batch = batch_of_rank(cfg.SOLVER.IMS_PER_BATCH, ranks) * ranks
    epochs = cfg.SOLVER.EPOCHS
    cfg = epochs_to_iterations(cfg)
    if epochs > 0:
        logger.info(
            "%g epochs in batches of %d are %d iterations; the rate drops at %s",
            *(epochs, batch, cfg.SOLVER.MAX_ITER, tuple(cfg.SOLVER.STEPS)),
        )
    return cfg


def check_batch(cfg: CfgNode, ranks: int) -> None:
    """ValueError for a batch that so many processes cannot share, before they are started."""
    batch_of_rank(_scaled(cfg, ranks).SOLVER.IMS_PER_BATCH, ranks)


def _scaled(cfg: CfgNode, ranks: int) -> CfgNode:
    reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
    if reference in (0, ranks):
        return cfg
    if reference < 0 or cfg.SOLVER.IMS_PER_BATCH % reference:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} is no multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE {reference}, the processes that it is meant for"
        )
    warmup = round(cfg.MODEL.COOPERATION.WARMUP_ITERS * reference / ranks)
    cfg = DefaultTrainer.auto_scale_workers(cfg, ranks)
    return changed(cfg, {"MODEL.COOPERATION.WARMUP_ITERS": warmup})


def epochs_to_iterations(cfg: CfgNode, dataset_size: int | None = None) -> CfgNode:
    """The config with MAX_ITER and STEPS set from SOLVER.EPOCHS and SOLVER.STEP_EPOCHS.

    A config without epochs comes back as it is, and STEPS where there are no STEP_EPOCHS. An epoch
    is a pass over the key frames of DATASETS.TRAIN, rounded up to whole batches.
    """
    solver = cfg.SOLVER
    if solver.EPOCHS <= 0:
        return cfg
    if dataset_size is None:
        dataset_size = count_training_dicts(cfg)
    per_epoch = dataset_size / solver.IMS_PER_BATCH
    steps = tuple(math.ceil(e * per_epoch) for e in solver.STEP_EPOCHS) or solver.STEPS
    iterations = max(1, math.ceil(solver.EPOCHS * per_epoch))
    return changed(
        cfg, {"SOLVER.MAX_ITER": iterations, "SOLVER.STEPS": steps, "SOLVER.EPOCHS": 0.0}
    )
