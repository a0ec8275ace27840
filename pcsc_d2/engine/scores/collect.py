"""What the heads of a trained detector say of the boxes that testing would show them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import nn

from pcsc_d2.config import changed, uses_cached_features
from pcsc_d2.data import evaluation_loader, training_dicts
from pcsc_d2.data.datasets import spread_key_frames
from pcsc_d2.engine.features import build_mapper, precompute_features
from pcsc_d2.modeling.proposal_cooperation import cooperate
from pcsc_d2.modeling.stages.labels import label_proposals, sample_rows
from pcsc_d2.parallel import all_gather
from pcsc_d2.utils.progress import progress_bar

# Of one head: logits (R, K + 1) float32 and labels (R,) int64, K for background.
Answers = tuple[torch.Tensor, torch.Tensor]


def collect(cfg: CfgNode, model: nn.Module, sampled: bool) -> list[Answers]:
    """Answers of every head, in the order in which they run, or of the two that a late fusion is
    shown, on every rank; ranks share the clips.

    Args:
        cfg: whose SOLVER.SCORES says how many key frames of each video are looked at.
        model: the detector, in evaluation mode.
        sampled: as many boxes of background as heads are trained with, for heads that look at the
            same boxes; all boxes otherwise.
    """
    answers: list[list[Answers]] = []
    for inputs in _batches(cfg):
        answers.append(_answers(model, inputs, sampled))
    everywhere = itertools.chain.from_iterable(all_gather(answers))
    return [tuple(torch.cat(column) for column in zip(*of_head)) for of_head in zip(*everywhere)]


def plain_clips(cfg: CfgNode) -> CfgNode:
    """A config whose training clips are those of DATASETS.SCORES, as testing would see them."""
    values = {
        "DATASETS.TRAIN": cfg.DATASETS.SCORES or cfg.DATASETS.TRAIN,
        "INPUT.RANDOM_FLIP": "none",
        "INPUT.CROP.ENABLED": False,
    }
    if not uses_cached_features(cfg):
        values |= {
            "INPUT.MIN_SIZE_TRAIN": (cfg.INPUT.MIN_SIZE_TEST,),
            "INPUT.MAX_SIZE_TRAIN": cfg.INPUT.MAX_SIZE_TEST,
        }
    return changed(cfg, values)


def _batches(cfg: CfgNode) -> Iterator[list[dict]]:
    cfg = plain_clips(cfg)
    precompute_features(cfg, train=True)
    dicts = spread_key_frames(training_dicts(cfg), cfg.SOLVER.SCORES.KEY_FRAMES)
    mapper = build_mapper(cfg, is_train=True)
    loader = evaluation_loader(cfg, dicts, mapper, ", ".join(cfg.DATASETS.TRAIN))
    with progress_bar(len(loader), "heads' scores", "batch", comm.is_main_process()) as bar:
        for batch in loader:
            yield batch
            bar.update(1)


@torch.no_grad()
def _answers(model: nn.Module, inputs: list[dict], sampled: bool) -> list[Answers]:
    heads = model.roi_heads
    targets = [x["instances"].to(model.device) for x in inputs]
    images, pyramids = model.extract_features(inputs)
    proposals, _ = model.propose(images, pyramids, None)
    look = heads.head_outputs if heads.fusion is None else heads.fusion_outputs
    outputs = look(pyramids, proposals)
    labelled = [
        label_proposals(cooperate(o.origins), targets, heads.proposal_matcher, heads.num_classes)
        for o in outputs
    ]
    rows = [_rows(heads, boxes, sampled) for boxes in labelled]
    if sampled:  # of the same boxes, the same rows
        rows = [rows[0]] * len(rows)
    return [
        (
            torch.cat([x[kept].cpu() for x, kept in zip(output.logits, of)]),
            torch.cat([b.gt_classes[kept].cpu() for b, kept in zip(boxes, of)]),
        )
        for output, boxes, of in zip(outputs, labelled, rows)
    ]


def _rows(heads: nn.Module, boxes: list[Instances], sampled: bool) -> list[torch.Tensor]:
    if not sampled:
        return [torch.arange(len(b), device=b.gt_classes.device) for b in boxes]
    return sample_rows(
        boxes, heads.batch_size_per_image, heads.positive_fraction, heads.num_classes
    )
