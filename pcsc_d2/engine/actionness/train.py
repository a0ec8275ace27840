"""Train the actionness head of a trained detector, choose how tubes are refined, and evaluate.

``pcsc train-actionness`` is the command. The detector stays as it is. It runs over the training
videos (all GPUs share them, and the fits; features go to ``OUTPUT_DIR/actionness``, at most
``SOLVER.ACTIONNESS.DISK_MB``), the head is fitted, the median window and the threshold are chosen
on training videos that were held back, and ``OUTPUT_DIR/model_final.pth`` holds detector, head and
choice. ``--resume`` goes on where an interrupted run stopped, be it within a video set or within a
fit.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from pcsc_d2.data import precompute_flow
from pcsc_d2.engine.actionness.choose import choose, fit_parts
from pcsc_d2.engine.actionness.collect import Limit, collect, truth_of
from pcsc_d2.engine.actionness.fit import ActionnessTask
from pcsc_d2.engine.actionness.task import Task, fit_once
from pcsc_d2.engine.checkpointing import Checkpointer, load_detector, save_final
from pcsc_d2.engine.setup import setup
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.parallel import wait_for_all
from pcsc_d2.tubes import GroundTruth, RefinementSearch, Tubes
from pcsc_d2.tubes.assembly import concatenate
from pcsc_d2.utils.files import write_json

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> dict | None:
    """Train the actionness head; the scores of the evaluation."""
    return train_afterwards(args, ActionnessTask)


def train_afterwards(args: argparse.Namespace, kind: type[Task]) -> dict | None:
    """Collect, fit, choose, save, evaluate; the scores of the evaluation.

    Args:
        args: of the command.
        kind: of network that is trained.
    """
    cfg = kind.turned_on(setup(args))
    task = kind(cfg)
    if not cfg.MODEL.WEIGHTS:
        raise ValueError("MODEL.WEIGHTS is empty: name the trained detector")
    datasets = cfg.DATASETS.ACTIONNESS or cfg.DATASETS.TRAIN
    precompute_flow(cfg, (*datasets, *cfg.DATASETS.TEST))
    folder = Path(cfg.OUTPUT_DIR, task.name)
    if not args.resume and comm.is_main_process():
        shutil.rmtree(folder, ignore_errors=True)
    wait_for_all()
    model = Trainer.build_model(cfg)
    load_detector(cfg, model)
    train(task, model.eval(), datasets, folder)
    # Only the first rank has chosen and saved: the others take what it saved.
    wait_for_all()
    Checkpointer(model).load(str(Path(cfg.OUTPUT_DIR, "model_final.pth")))
    return Trainer.test(cfg, model) if cfg.DATASETS.TEST else None


def train(task: Task, model: nn.Module, datasets: tuple[str, ...], folder: Path) -> None:
    """Train the network of a task and write ``OUTPUT_DIR/model_final.pth``; on every rank.

    Args:
        model: with the detector's weights, in evaluation mode.
        datasets: registered names of the training videos.
        folder: for what is collected, and for interrupted fits.
    """
    cfg, files, truths = task.cfg, [], []
    limit = Limit.of(cfg, len(datasets))
    for name in datasets:
        found = collect(cfg, model, name, folder / name, [task.kind], limit)
        files += found
        truths.append(truth_of(name, found))
    head = task.network(model)
    actionness = fit_parts(task, head, files, folder)
    if not comm.is_main_process():
        return
    choice = choose(task, files, actionness, _join(truths))
    fit_once(task, head, files, folder, "head")
    head.window.fill_(choice.options.window)
    head.threshold.fill_(choice.options.threshold)
    _save(cfg, model, choice)


def _join(truths: list[GroundTruth]) -> GroundTruth:
    """Ground truth of several datasets of the same labels, their videos one after the other."""
    if len(truths) == 1:
        return truths[0]
    videos = np.concatenate([t.videos for t in truths])
    offsets = np.cumsum([0, *(len(t.videos) for t in truths)])

    def joined(parts: list[Tubes | None]) -> Tubes | None:
        moved = [
            replace(part, videos=videos, video=part.video + first)
            for part, first in zip(parts, offsets)
            if part is not None
        ]
        return concatenate(moved) if moved else None

    return GroundTruth(
        truths[0].labels,
        videos,
        np.concatenate([t.nframes for t in truths]),
        np.concatenate([t.resolution for t in truths]),
        joined([t.tubes for t in truths]),
        [],
        [],
        joined([t.crowds for t in truths]),
    )


def _save(cfg: CfgNode, model: nn.Module, choice: RefinementSearch) -> None:
    """One checkpoint of detector and head, and the config that evaluates it."""
    save_final(cfg, model)
    scores = [
        {"window": window, "threshold": threshold, "video 0.5:0.95": value}
        for (window, threshold), value in choice.scores.items()
    ]
    content = {
        "window": choice.options.window,
        "threshold": choice.options.threshold,
        "held_back": {"without": choice.unrefined, "with": choice.best, "all": scores},
    }
    write_json(Path(cfg.OUTPUT_DIR, "refinement.json"), content)
    logger.info("Wrote model_final.pth, config.yaml and refinement.json to %s", cfg.OUTPUT_DIR)
