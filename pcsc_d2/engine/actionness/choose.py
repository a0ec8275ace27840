"""Choosing how to refine tubes, on training videos that what is fitted did not see."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.utils import comm
from torch import nn

from pcsc_d2.engine.actionness.samples import CONFUSING, VideoSamples, all_tubes
from pcsc_d2.engine.actionness.task import Task, fit_once
from pcsc_d2.parallel import all_gather
from pcsc_d2.tubes import GroundTruth, RefinementSearch, RefineOptions, choose_refinement

logger = logging.getLogger(__name__)


def fit_parts(task: Task, head: nn.Module, files: Sequence[Path], folder: Path) -> list[np.ndarray]:
    """Fit heads and let each say what it thinks of the videos that it did not see.

    The videos are dealt to ``SOLVER.ACTIONNESS.FOLDS`` parts, each for a head that learns from the
    others; one more head, which is kept as "head", learns from all. The ranks share these fits.

    Args:
        head: untrained, copied for each fit.
        folder: where the heads are kept, so that an interrupted job goes on.

    Returns:
        Actionness (M,) of the boxes of each file's tubes, on every rank.

    Raises:
        ValueError: fewer than two videos or two parts.
    """
    node = task.cfg.SOLVER.ACTIONNESS
    folds = min(node.FOLDS, len(files))
    if folds < 2:
        raise ValueError(
            f"{len(files)} training videos, SOLVER.ACTIONNESS.FOLDS {node.FOLDS}: two of either "
            "are needed to choose the threshold on videos that were held back"
        )
    say_loose([VideoSamples.load(path) for path in files], task.cfg.MODEL.ACTIONNESS.LABEL_IOU)
    found: dict[int, np.ndarray] = {}
    for part in range(comm.get_rank(), folds + 1, comm.get_world_size()):
        if part == folds:
            logger.info("%s with all training videos", task.name)
            fit_once(task, copy.deepcopy(head), files, folder, "head")
            continue
        logger.info("%s without part %d of the training videos", task.name, part + 1)
        mine = range(part, len(files), folds)
        others = [files[i] for i in range(len(files)) if i % folds != part]
        trained = fit_once(task, copy.deepcopy(head), others, folder, f"fold{part}")
        found |= dict(zip(mine, task.predict(trained, [files[i] for i in mine])))
    everywhere = dict(itertools.chain.from_iterable(f.items() for f in all_gather(found)))
    return [everywhere[i] for i in range(len(files))]


def choose(
    task: Task, files: Sequence[Path], actionness: Sequence[np.ndarray], truth: GroundTruth
) -> RefinementSearch:
    """The median window and the threshold, chosen on training videos that were held back.

    A head trained on the other parts of the videos scores the tubes of each, and the pair of the
    best video mAP 0.5:0.95 over all of them wins.

    Args:
        actionness: of the boxes of each file's tubes, from ``fit_parts``.
        truth: ground truth of the videos of the files, in their order.
    """
    thresholds, node = task.cfg.SOLVER.ACTIONNESS.THRESHOLDS, task.cfg.TEST.TUBES
    tubes = all_tubes([VideoSamples.load(path) for path in files], actionness)
    base = RefineOptions(min_length=node.MIN_LENGTH)
    choice = choose_refinement(
        tubes, truth, task.windows, thresholds, base, node.PROTOCOL, progress=True
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


def say_loose(samples: Sequence[VideoSamples], label_iou: float) -> None:
    """Say how many boxes of tubes that follow an actor are negative for where they are.

    They overlap the action by too little to be positive. Where they are most of the negatives, what
    learns from them cuts tubes at loose boxes rather than at the action's ends.
    """
    confusing = [s.overlaps[s.found & (s.groups(label_iou) == CONFUSING)] for s in samples]
    overlaps = np.concatenate(confusing)
    logger.info(
        "of %d negative boxes in tubes with positive ones, %d overlap their action by at most "
        "MODEL.ACTIONNESS.LABEL_IOU (%g); the others are where it is not",
        len(overlaps),
        np.count_nonzero(overlaps),
        label_iou,
    )
