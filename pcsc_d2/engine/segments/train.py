"""Train temporal cooperation on a trained detector's tubes, and score its segments:
``pcsc train-segments``.

The detector stays as it is. It runs over the training videos and those of DATASETS.TEST, and what
it links is kept with both streams' features under ``OUTPUT_DIR/segments``. The threshold is chosen
on training videos that were held back. ``segments.pth`` holds the network, ``segments.json`` the
choice, and ``inference/<dataset>`` results and tubes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils import comm
from torch import nn

from pcsc_d2.data import precompute_flow
from pcsc_d2.engine.actionness.collect import Limit, collect, truth_of
from pcsc_d2.engine.actionness.samples import VideoSamples, all_tubes
from pcsc_d2.engine.checkpointing import load_detector
from pcsc_d2.engine.segments.fit import choose_threshold, cut, find_segments, fit
from pcsc_d2.engine.segments.samples import tubes_of
from pcsc_d2.engine.setup import setup
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.modeling.actionness_head import BOTH
from pcsc_d2.modeling.segments import SegmentCooperation
from pcsc_d2.tubes.scoring.results import Results, score
from pcsc_d2.utils.files import write_json
from pcsc_d2.utils.weights import save_tensors

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> dict[str, Results]:
    """Collect, fit, choose, score; the results of each test dataset.

    Raises:
        ValueError: there are no weights, they lack stages, or there are several processes.
    """
    cfg = _pooled(setup(args))
    if not cfg.MODEL.WEIGHTS:
        raise ValueError("MODEL.WEIGHTS is empty: name the trained detector")
    if comm.get_world_size() > 1:
        raise ValueError("pcsc train-segments runs in one process: leave --num-gpus at 1 or 0")
    train_on = cfg.DATASETS.ACTIONNESS or cfg.DATASETS.TRAIN
    if not train_on:
        raise ValueError("DATASETS.TRAIN is empty: name the videos to train on")
    precompute_flow(cfg, (*train_on, *cfg.DATASETS.TEST))
    model = Trainer.build_model(cfg).eval()
    load_detector(cfg, model)
    folder = Path(cfg.OUTPUT_DIR, "segments")
    limit = Limit.of(cfg, len(train_on))
    files = {name: collect(cfg, model, name, folder / name, [BOTH], limit) for name in train_on}
    network = train(cfg, files)
    return {name: evaluate(cfg, model, network, name, folder / name) for name in cfg.DATASETS.TEST}


def train(cfg: CfgNode, files: dict[str, list[Path]]) -> SegmentCooperation:
    """Fit a network to all training videos, and choose its threshold by one that saw half of them.

    Args:
        files: of ``VideoSamples`` with features of both streams, by dataset; the threshold is
            chosen on videos of the first.
    """
    name, first = next(iter(files.items()))
    held_back = first[1::2]
    if not held_back:
        raise ValueError(f"{name}: {len(first)} training videos; two are needed at least")
    every = [path for of in files.values() for path in of]
    half = _fitted(cfg, [path for path in every if path not in held_back])
    tubes = all_tubes([VideoSamples.load(path) for path in held_back])
    found = find_segments(half, list(tubes_of(held_back)))
    node = cfg.TEST.TUBES
    truth = truth_of(name, held_back)
    threshold, scores = choose_threshold(tubes, found, truth, node.MIN_LENGTH, node.PROTOCOL)
    logger.info("threshold %g of the best video mAP 0.5:0.95 on held-back videos", threshold)
    network = _fitted(cfg, every)
    network.threshold.fill_(threshold)
    save_tensors(Path(cfg.OUTPUT_DIR, "segments.pth"), {"model": network.state_dict()})
    told = {"threshold": threshold, "held_back": scores}
    write_json(Path(cfg.OUTPUT_DIR, "segments.json"), told)
    return network


def evaluate(
    cfg: CfgNode, model: nn.Module, network: SegmentCooperation, name: str, folder: Path
) -> Results:
    """Score the tubes of a dataset as they are cut; written to ``inference/<dataset>``."""
    files = collect(cfg, model, name, folder, [BOTH])
    tubes = all_tubes([VideoSamples.load(path) for path in files])
    threshold = network.threshold.item()
    if threshold > 0:
        found = find_segments(network, list(tubes_of(files)))
        tubes = cut(tubes, found, threshold, cfg.TEST.TUBES.MIN_LENGTH)
    truth = MetadataCatalog.get(name).load_ground_truth()
    results = score(truth, tubes=tubes, protocol=cfg.TEST.TUBES.PROTOCOL)
    out = Path(cfg.OUTPUT_DIR, "inference", name)
    out.mkdir(parents=True, exist_ok=True)
    tubes.save(out / "tubes.npz")
    results.save(out / "results.json")
    logger.info("%s, cut by segments:\n%s", name, results.table())
    return results


def _fitted(cfg: CfgNode, files: Sequence[Path]) -> SegmentCooperation:
    tubes = list(tubes_of(files))
    if not any(tube.labels.any() for tube in tubes):
        raise ValueError("no tube of the training videos follows an action: train the detector")
    node = cfg.SOLVER.SEGMENTS
    network = SegmentCooperation(
        tubes[0].features.shape[2],
        cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        stages=node.STAGES,
        exchange=node.EXCHANGE,
    )
    fit(network, tubes, node.EPOCHS, node.BASE_LR, node.WEIGHT_DECAY, cfg.SEED)
    return network.eval()


def _pooled(cfg: CfgNode) -> CfgNode:
    """The config under which ``collect`` keeps the mean of each box's features."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.ACTIONNESS.POOLED = True
    cfg.MODEL.ACTIONNESS.ON = False
    cfg.freeze()
    return cfg
