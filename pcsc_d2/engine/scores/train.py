"""Fit how a trained detector's heads are put together, and evaluate: ``pcsc fit-scores``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from pcsc_d2.data import precompute_flow
from pcsc_d2.engine.checkpointing import Checkpointer, load_detector, save_final
from pcsc_d2.engine.scores.collect import collect, plain_clips
from pcsc_d2.engine.scores.fit import Fit, fit_fusion, fit_temperature
from pcsc_d2.engine.setup import setup
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.modeling.fusion import LearnedFusion
from pcsc_d2.parallel import wait_for_all
from pcsc_d2.utils.files import write_json

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> dict | None:
    """Collect, fit, save, evaluate; the scores of the evaluation.

    Raises:
        ValueError: there are no weights, or the config has nothing to fit.
    """
    cfg = setup(args)
    if not cfg.MODEL.WEIGHTS:
        raise ValueError("MODEL.WEIGHTS is empty: name the trained detector")
    precompute_flow(cfg, (*plain_clips(cfg).DATASETS.TRAIN, *cfg.DATASETS.TEST))
    model = Trainer.build_model(cfg).eval()
    _require_something_to_fit(model.roi_heads)
    load_detector(cfg, model)
    fit_scores(cfg, model)
    # Only the first rank has fitted and saved: the others take what it saved.
    wait_for_all()
    Checkpointer(model).load(str(Path(cfg.OUTPUT_DIR, "model_final.pth")))
    return Trainer.test(cfg, model) if cfg.DATASETS.TEST else None


def fit_scores(cfg: CfgNode, model: nn.Module) -> None:
    """Fit what the model has of it, and write ``model_final.pth``, ``config.yaml`` and
    ``scores.json`` to OUTPUT_DIR; on every rank.

    Args:
        model: with the detector's weights, in evaluation mode.
    """
    heads = model.roi_heads
    answers = collect(cfg, model, sampled=heads.fusion is not None)
    if not comm.is_main_process():
        return
    if heads.fusion is not None:
        told = _fit_fusion(heads.fusion, answers, cfg.SOLVER.SCORES.RIDGE)
    else:
        told = _fit_temperatures(heads, answers)
    save_final(cfg, model)
    write_json(Path(cfg.OUTPUT_DIR, "scores.json"), told)
    logger.info("Wrote model_final.pth, config.yaml and scores.json to %s", cfg.OUTPUT_DIR)


def _require_something_to_fit(heads: nn.Module) -> None:
    if isinstance(heads.fusion, LearnedFusion) or heads.temperatures is not None:
        return
    raise ValueError(
        "nothing to fit: set MODEL.FUSION.NAME ClassWeightsFusion or FullyConnectedFusion, or "
        "MODEL.COOPERATION.CALIBRATED True"
    )


def _fit_fusion(fusion: LearnedFusion, answers: list, ridge: float) -> dict[str, Any]:
    (rgb, classes), (flow, _) = answers
    fusion.cpu()
    found = fit_fusion(fusion, rgb, flow, classes, ridge)
    logger.info(
        "cross entropy on %d boxes: %.4f for the average, %.4f for the learned fusion%s",
        len(classes),
        *found,
        "" if fusion.gain > 0 else ", so that the average stays",
    )
    return {"boxes": len(classes), "average": found.before, "learned": found.after}


def _fit_temperatures(heads: nn.Module, answers: list) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for i, (logits, classes) in enumerate(answers):
        temperature, found = fit_temperature(logits, classes)
        heads.temperatures[i] = temperature
        name = ("stage 0, rgb", "stage 0, flow")[i] if i < 2 else f"stage {i - 1}"
        logger.info("%s: temperature %.3f, %s", name, temperature, _gain(found))
        told[name] = {"temperature": temperature} | found._asdict()
    return told


def _gain(found: Fit) -> str:
    return f"cross entropy {found.before:.4f} -> {found.after:.4f}"
