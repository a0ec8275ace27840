"""Training the flow trunk by itself: which action, if any, is in each cell of its maps.

A flow trunk that starts from weights for RGB has to be trained before it is worth its stream, and
on a CPU a whole detector is too much for that. Classes are few and so are clips; what RGB's trunk
sees in the same cells is a richer target (supervision transfer: Gupta, Hoffman, Malik, CVPR 2016).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import nn

from pcsc_d2.config import changed
from pcsc_d2.layers.i3d import STRIDES
from pcsc_d2.modeling.stream import Stream

_LEVELS = ("c4", "c5")
# What cells of actors weigh against cells of background, which are many more.
_ACTOR, _BACKGROUND = 0.7, 0.3
# Beside the variance of a channel that is all but silent.
_EPSILON = 1e-3


@META_ARCH_REGISTRY.register()
class TrunkClassifier(nn.Module):
    """The flow stream's trunk under linear classifiers of cells; for training alone.

    Args:
        flow: the stream, whose pyramid and RPN are left alone.
        num_classes: K; K itself stands for background.
        dropout: of features.
        teacher: the RGB stream, whose maps the trunk learns to foretell; it stays as it is.
        imitation: weight of that loss.
    """

    @configurable
    def __init__(
        self,
        *,
        flow: Stream,
        num_classes: int,
        dropout: float = 0.3,
        teacher: Stream | None = None,
        imitation: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= imitation < math.inf:
            raise ValueError(f"MODEL.TRUNK_CLASSIFIER.IMITATION is {imitation}; 0 or more")
        self.flow = flow
        self.num_classes = num_classes
        self.dropout = dropout
        self.imitation = imitation
        flow.proposal_generator.requires_grad_(False)
        flow.backbone.top_down.requires_grad_(False)
        shapes = flow.backbone.bottom_up.output_shape()
        channels = {level: shapes[level].channels for level in _LEVELS}
        self.classifiers = nn.ModuleDict(
            {level: nn.Conv2d(c, num_classes + 1, 1) for level, c in channels.items()}
        )
        self.teacher = teacher
        if teacher is not None:
            teacher.requires_grad_(False)
            self.predictors = nn.ModuleDict(
                {level: nn.Conv2d(c, c, 1) for level, c in channels.items()}
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        imitation = cfg.MODEL.TRUNK_CLASSIFIER.IMITATION
        return {
            "flow": Stream(cfg, "flow"),
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "teacher": _teacher(cfg) if imitation else None,
            "imitation": imitation,
        }

    def train(self, mode: bool = True) -> TrunkClassifier:
        """The teacher's norms keep their statistics."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

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
        maps = _maps(self.flow, batched_inputs)
        truth = [x["instances"].to(self.device) for x in batched_inputs]
        labels = {}
        for level in _LEVELS:
            size, stride = maps[level].shape[-2:], STRIDES[level][1]
            each = [cell_labels(x, size, stride, self.num_classes) for x in truth]
            labels[level] = torch.stack(each)
        losses = {}
        for level, classifier in self.classifiers.items():
            logits = classifier(F.dropout(maps[level], self.dropout, self.training))
            loss = F.cross_entropy(logits, labels[level], reduction="none", label_smoothing=0.1)
            losses[f"loss_cls_{level}"] = self._shared(loss, labels[level])
        if self.teacher is not None:
            losses |= self._imitation(batched_inputs, maps, labels)
        return losses

    def _imitation(
        self,
        batched_inputs: list[dict],
        maps: dict[str, torch.Tensor],
        labels: dict[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """How far RGB's maps are from what is foretold, in variances of each channel."""
        with torch.no_grad():
            wanted = _maps(self.teacher, batched_inputs)
        losses = {}
        for level, predictor in self.predictors.items():
            goal = wanted[level].float()
            variance = goal.var(dim=(0, 2, 3), correction=0, keepdim=True) + _EPSILON
            loss = (predictor(maps[level]).float() - goal).square().div(variance).mean(dim=1)
            losses[f"loss_imitation_{level}"] = self.imitation * self._shared(loss, labels[level])
        return losses

    def _shared(self, loss: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss of cells, (N, H, W), actors and background each with their share."""
        actor = labels < self.num_classes
        shares = (_ACTOR, actor), (_BACKGROUND, ~actor)
        return sum(w * (loss * cells).sum() / cells.sum().clamp(min=1) for w, cells in shares)


def _teacher(cfg: CfgNode) -> Stream:
    """The RGB stream with the weights that it starts from."""
    if not cfg.MODEL.RGB.WEIGHTS:
        raise ValueError(
            "MODEL.TRUNK_CLASSIFIER.IMITATION needs MODEL.RGB.WEIGHTS, whose maps are foretold"
        )
    # Those of a whole model have no teacher.
    return Stream(changed(cfg, {"MODEL.WEIGHTS": ""}), "rgb")


def _maps(stream: Stream, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
    return stream.backbone.bottom_up(stream.preprocess(batched_inputs).tensor)


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
