"""Choosing how to refine tubes, on training videos that the actionness head did not see."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from torch import nn

from pcsc_d2.engine.actionness.fit import fit_once, predict_videos, sample_store
from pcsc_d2.engine.actionness.samples import all_tubes
from pcsc_d2.tubes import GroundTruth, RefinementSearch, RefineOptions, choose_refinement

logger = logging.getLogger(__name__)


def choose(
    cfg: CfgNode, head: nn.Module, files: Sequence[Path], truth: GroundTruth, folder: Path
) -> RefinementSearch:
    """The median window and the threshold, chosen on training videos that were held back.

    The videos are dealt to ``SOLVER.ACTIONNESS.FOLDS`` parts; a head trained on the other parts
    scores the tubes of each, and the pair of the best video mAP 0.5:0.95 over all of them wins.

    Args:
        head: untrained, copied for each part.
        truth: ground truth of the videos of the files, in their order.
        folder: where the heads of the parts are kept, so that an interrupted job goes on.

    Raises:
        ValueError: fewer than two videos or two parts.
    """
    node = cfg.SOLVER.ACTIONNESS
    folds = min(node.FOLDS, len(files))
    if folds < 2:
        raise ValueError(
            f"{len(files)} training videos, SOLVER.ACTIONNESS.FOLDS {node.FOLDS}: two of either "
            "are needed to choose the threshold on videos that were held back"
        )
    actionness: list[np.ndarray | None] = [None] * len(files)
    stores = {}
    for fold in range(folds):
        mine = list(range(fold, len(files), folds))
        others = [files[i] for i in range(len(files)) if i % folds != fold]
        logger.info("actionness without part %d of the training videos", fold + 1)
        trained = fit_once(cfg, copy.deepcopy(head), others, folder, f"fold{fold}")
        held_back = sample_store(cfg, [files[i] for i in mine])
        for i, values in zip(mine, predict_videos(trained, held_back)):
            actionness[i] = values
        stores |= dict(zip(mine, held_back.samples))
    tubes = all_tubes([stores[i] for i in range(len(files))], actionness)
    base = RefineOptions(min_length=cfg.TEST.TUBES.MIN_LENGTH)
    choice = choose_refinement(
        tubes, truth, node.WINDOWS, node.THRESHOLDS, base, cfg.TEST.TUBES.PROTOCOL, progress=True
    )
    logger.info(
        "held-back training videos: video mAP 0.5:0.95 %.2f without refinement, %.2f with a "
        "median of %d frames and threshold %g",
        choice.unrefined,
        choice.best,
        choice.options.window,
        choice.options.threshold,
    )
    return choice
