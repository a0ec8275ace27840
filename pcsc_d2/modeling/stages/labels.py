"""Labels of the boxes that stages exchange, and what is logged about them (Section 3.5)."""

from __future__ import annotations

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.sampling import subsample_labels
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage


@torch.no_grad()
def label_proposals(
    proposals: list[Instances], targets: list[Instances], matcher: Matcher, num_classes: int
) -> list[Instances]:
    """Set ``gt_classes`` (``num_classes`` is background) and ``gt_boxes`` on each proposal."""
    for found, wanted in zip(proposals, targets):
        matched, labels = matcher(pairwise_iou(wanted.gt_boxes, found.proposal_boxes))
        if len(wanted):
            classes = wanted.gt_classes[matched]
            found.gt_classes = torch.where(labels == 1, classes, num_classes)
            found.gt_boxes = wanted.gt_boxes[matched]
        else:
            found.gt_classes = torch.full_like(matched, num_classes)
            found.gt_boxes = Boxes(torch.zeros_like(found.proposal_boxes.tensor))
    return proposals


@torch.no_grad()
def sample_rows(
    proposals: list[Instances], number: int, positive_fraction: float, num_classes: int
) -> list[torch.Tensor]:
    """Rows of each image's labelled proposals that train a head, drawn as Detectron2 draws them.

    Args:
        proposals: with ``gt_classes``.
        number: of an image at most.
        positive_fraction: of that number, positive at most.
        num_classes: the label of background.
    """
    drawn = [
        subsample_labels(p.gt_classes, number, positive_fraction, num_classes) for p in proposals
    ]
    return [torch.cat(parts).sort().values for parts in drawn]


@torch.no_grad()
def log_proposals(
    scope: str, origins: dict[str, list[Instances]], targets: list[Instances]
) -> None:
    """Log proposals of an image by origin, recall at IoU 0.5 by origin and together, and the
    share of foreground among them."""
    hits = {}
    storage = get_event_storage()
    for origin, found in origins.items():
        ious = [pairwise_iou(t.gt_boxes, p.proposal_boxes) for t, p in zip(targets, found)]
        hits[origin] = [(iou >= 0.5) for iou in ious]
        storage.put_scalar(f"{scope}/proposals_{origin}", sum(map(len, found)) / len(found))
    together = [torch.cat(rows, dim=1) for rows in zip(*hits.values())]
    number = sum(map(len, targets))
    for origin, rows in (hits | {"union": together}).items():
        if number:
            recalled = sum(int(r.any(dim=1).sum()) for r in rows)
            storage.put_scalar(f"{scope}/recall_{origin}", recalled / number)
    total = sum(r.shape[1] for r in together)
    if total:
        foreground = sum(int(r.any(dim=0).sum()) for r in together)
        storage.put_scalar(f"{scope}/foreground", foreground / total)
