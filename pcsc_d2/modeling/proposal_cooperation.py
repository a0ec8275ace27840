"""Region-proposal cooperation: P_t^i = B_{t-2}^i u B_{t-1}^j (paper Section 3.2).

The detection boxes B of a head become class-agnostic proposals of a later stage: each box as
regressed for its highest foreground class, kept by score, NMS and top k. The other stream's
boxes pass a lower NMS threshold than a stream's own. The same in training and in testing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from detectron2.layers import nms
from detectron2.structures import Boxes, Instances


@dataclass(frozen=True)
class BoxSelection:
    """Which of a head's boxes become proposals.

    Attributes:
        score_thresh: least probability of the best foreground class.
        nms_thresh: IoU over which the lower-scored of two boxes is dropped, whatever its class.
        topk: boxes kept of an image.
    """

    score_thresh: float
    nms_thresh: float
    topk: int


def selection_pair(test: BoxSelection, train: BoxSelection) -> tuple[BoxSelection, BoxSelection]:
    """The rules of testing and of training, as ``CooperationROIHeads`` takes them: for LazyConfigs,
    which cannot name a tuple of objects."""
    return test, train


@dataclass
class StageOutput:
    """What one head says about its proposals, image by image, without gradient.

    Attributes:
        stream: the stream whose features were classified.
        boxes: per image ``(R, 4)``, or ``(R, 4 K)`` for class-specific regression, x1 y1 x2 y2.
        probs: per image ``(R, K + 1)``, background last.
        image_sizes: per image (height, width).
        origins: per image the proposals that the head was shown, by where they come from:
            ``"rpn"`` at stage 0, then ``"own"`` and ``"cross"``; ground truth is not among them.
        logits: per image ``(R, K + 1)``, what ``probs`` is the softmax of.
    """

    stream: str
    boxes: list[torch.Tensor]
    probs: list[torch.Tensor]
    image_sizes: list[tuple[int, int]]
    origins: dict[str, list[Instances]] = field(default_factory=dict)
    logits: list[torch.Tensor] = field(default_factory=list)


def best_foreground(boxes: torch.Tensor, probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes ``(R, 4)`` and scores ``(R,)`` for each row's highest foreground class."""
    scores, classes = probs[:, :-1].max(dim=1)
    if boxes.shape[1] > 4:
        per_class = boxes.view(len(boxes), boxes.shape[1] // 4, 4)
        boxes = per_class[torch.arange(len(boxes), device=boxes.device), classes]
    return boxes, scores


@torch.no_grad()
def select_boxes(output: StageOutput, rule: BoxSelection) -> list[Instances]:
    """The boxes of each image that pass the rule, best first, as proposals."""
    return [
        _select_single_image(*best_foreground(boxes, probs), size, rule)
        for boxes, probs, size in zip(output.boxes, output.probs, output.image_sizes)
    ]


def _select_single_image(
    boxes: torch.Tensor, scores: torch.Tensor, image_size: tuple[int, int], rule: BoxSelection
) -> Instances:
    clipped = Boxes(boxes.clone())
    clipped.clip(image_size)
    kept = (scores > rule.score_thresh) & clipped.nonempty() & torch.isfinite(boxes).all(dim=1)
    clipped, scores = clipped[kept], scores[kept]
    best = nms(clipped.tensor, scores, rule.nms_thresh)[: rule.topk]
    return Instances(
        image_size,
        proposal_boxes=clipped[best],
        objectness_logits=torch.logit(scores[best], eps=1e-6),
    )


def cooperate(origins: dict[str, list[Instances]]) -> list[Instances]:
    """The union, image by image: a stream's own boxes first, then the other stream's."""
    return [Instances.cat(parts) for parts in zip(*origins.values())]
