"""Training the flow trunk by itself: which action, if any, is in each cell of its maps.

A flow trunk that starts from weights for RGB has to be trained before it is worth its stream, and
on a CPU a whole detector is too much for that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import nn

from pcsc_d2.layers.i3d import STRIDES
from pcsc_d2.modeling.stream import Stream

_LEVELS = ("c4", "c5")
# What cells of actors weigh against cells of background, which are many more.
_ACTOR, _BACKGROUND = 0.7, 0.3


@META_ARCH_REGISTRY.register()
class TrunkClassifier(nn.Module):
    """The flow stream's trunk under linear classifiers of cells; for training alone.

    Args:
        flow: the stream, whose pyramid and RPN are left alone.
        num_classes: K; K itself stands for background.
        dropout: of features.
    """

    @configurable
    def __init__(self, *, flow: Stream, num_classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.flow = flow
        self.num_classes = num_classes
        self.dropout = dropout
        flow.proposal_generator.requires_grad_(False)
        flow.backbone.top_down.requires_grad_(False)
        shapes = flow.backbone.bottom_up.output_shape()
        self.classifiers = nn.ModuleDict(
            {level: nn.Conv2d(shapes[level].channels, num_classes + 1, 1) for level in _LEVELS}
        )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        return {"flow": Stream(cfg, "flow"), "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES}

    @property
    def device(self) -> torch.device:
        return self.flow.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        """The losses of some clips, see ``TwoStreamRCNN.forward``.

        Raises:
            ValueError: in evaluation mode, as there is nothing to detect with.
        """
        if not self.training:
            raise ValueError("MODEL.META_ARCHITECTURE TrunkClassifier detects nothing: no TEST")
        maps = self.flow.backbone.bottom_up(self.flow.preprocess(batched_inputs).tensor)
        truth = [x["instances"].to(self.device) for x in batched_inputs]
        losses = {}
        for level, classifier in self.classifiers.items():
            logits = classifier(F.dropout(maps[level], self.dropout, self.training))
            size, stride = logits.shape[-2:], STRIDES[level][1]
            labels = [cell_labels(x, size, stride, self.num_classes) for x in truth]
            losses[f"loss_cls_{level}"] = self._loss(logits, torch.stack(labels))
        return losses

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross entropy of logits (N, K + 1, H, W), actors and background each with their share."""
        each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
        actor = labels < self.num_classes
        shares = (_ACTOR, actor), (_BACKGROUND, ~actor)
        return sum(w * (each * cells).sum() / cells.sum().clamp(min=1) for w, cells in shares)


def cell_labels(
    truth: Instances, size: tuple[int, int], stride: int, background: int
) -> torch.Tensor:
    """The class of the actor that a cell's centre is in, (H, W) int64; ``background`` elsewhere.

    Args:
        truth: ``gt_boxes`` in pixels of the clip, ``gt_classes``.
        size: H, W.
        stride: pixels between the cells.
    """
    y, x = ((torch.arange(n, device=truth.gt_classes.device) + 0.5) * stride for n in size)
    labels = truth.gt_classes.new_full(size, background)
    for (x1, y1, x2, y2), cls in zip(truth.gt_boxes.tensor, truth.gt_classes):
        inside = ((y >= y1) & (y <= y2))[:, None] & ((x >= x1) & (x <= x2))
        labels[inside] = cls
    return labels
