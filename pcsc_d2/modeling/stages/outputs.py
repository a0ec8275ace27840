"""Putting the detections of several heads together (paper Section 4.3).

The sources are the heads in the order in which they ran: stage 0 of RGB and of flow, then
stages 1, 2, ... The output of stage t draws on sources 0..t+1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from detectron2.layers import batched_nms
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference_single_image
from detectron2.structures import Boxes, Instances, pairwise_iou

from pcsc_d2.layers import STREAMS
from pcsc_d2.modeling.proposal_cooperation import StageOutput

MODES = ("union", "average", "last_two", "within_streams")


class Limits(NamedTuple):
    """Which boxes become detections: over a score, by NMS per class, so many of an image."""

    score_thresh: float
    nms_thresh: float
    topk: int


def combine(
    sources: list[StageOutput], mode: str, score_thresh: float, nms_thresh: float, topk: int
) -> list[Instances]:
    """Detections of each image: ``pred_boxes``, ``scores``, ``pred_classes``, best first.

    ``union``: NMS per class over all sources' boxes (the paper's). ``last_two``: the same over
    the latest head of each stream. ``average``: boxes as in the union, each with the mean over
    the sources of the best score that a source gives its class within ``nms_thresh`` IoU; a
    source that has no such box counts 0. ``within_streams``: the union of what NMS leaves of the
    sources of either stream.
    """
    if mode == "last_two":
        sources = sources[-2:]
    limits = Limits(score_thresh, nms_thresh, topk)
    if mode == "within_streams":
        groups = [[s for s in sources if s.stream == name] for name in STREAMS]
        return _join([combine(group, "union", *limits) for group in groups if group], limits)
    merge = _average if mode == "average" else _union
    return [
        merge([(s.boxes[i], s.probs[i]) for s in sources], image_size, limits)
        for i, image_size in enumerate(sources[0].image_sizes)
    ]


def _join(parts: list[list[Instances]], limits: Limits) -> list[Instances]:
    """NMS per class over several groups' detections of each image."""
    joined = []
    for found in map(Instances.cat, zip(*parts)):
        kept = batched_nms(
            found.pred_boxes.tensor, found.scores, found.pred_classes, limits.nms_thresh
        )
        joined.append(found[kept[: limits.topk]])
    return joined


def _union(
    sources: list[tuple[torch.Tensor, torch.Tensor]],
    image_size: tuple[int, int],
    limits: Limits,
) -> Instances:
    boxes, probs = (torch.cat(parts) for parts in zip(*sources))
    return fast_rcnn_inference_single_image(boxes, probs, image_size, *limits)[0]


def _average(
    sources: list[tuple[torch.Tensor, torch.Tensor]],
    image_size: tuple[int, int],
    limits: Limits,
) -> Instances:
    boxes, scores, classes, source = _candidates(sources, image_size, limits.score_thresh)
    kept = batched_nms(boxes, scores, classes, limits.nms_thresh)
    # (kept, candidates): candidates that speak for the same detection.
    agree = (pairwise_iou(Boxes(boxes[kept]), Boxes(boxes)) >= limits.nms_thresh) & (
        classes[kept, None] == classes[None]
    )
    supported = torch.where(agree, scores[None], scores.new_zeros(()))
    best = scores.new_zeros(len(kept), len(sources))
    best.scatter_reduce_(1, source.expand(len(kept), -1), supported, reduce="amax")
    mean = best.mean(dim=1)
    order = mean.argsort(descending=True)[: limits.topk]
    # By index_select: the ONNX exporter does not know the type of a sorted order.
    chosen = kept.index_select(0, order)
    return Instances(
        image_size,
        pred_boxes=Boxes(boxes[chosen]),
        scores=mean.index_select(0, order),
        pred_classes=classes[chosen],
    )


def _candidates(
    sources: list[tuple[torch.Tensor, torch.Tensor]],
    image_size: tuple[int, int],
    score_thresh: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All (box, score, class, source) over the threshold, as four aligned tensors."""
    parts = []
    for number, (boxes, probs) in enumerate(sources):
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(probs).all(dim=1)
        boxes, scores = boxes[finite], probs[finite, :-1]
        rows, classes = (scores > score_thresh).nonzero(as_tuple=True)
        per_class = boxes.view(len(boxes), boxes.shape[1] // 4, 4)
        chosen = Boxes(per_class[rows, classes if per_class.shape[1] > 1 else 0].clone())
        chosen.clip(image_size)
        parts.append(
            (chosen.tensor, scores[rows, classes], classes, torch.full_like(classes, number))
        )
    return tuple(torch.cat(column) for column in zip(*parts))
