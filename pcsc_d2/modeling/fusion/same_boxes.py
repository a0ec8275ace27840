"""The three late fusions of Cheron et al. (arXiv 1806.11008), as the paper's Section 2.2 has them.

Both streams look at the same boxes, and a box of theirs is the mean of the two that they make of
one: without stages at the proposals of both, with stages at those of the last one.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances
from torch import nn

from pcsc_d2.modeling.fusion.base import LATE_FUSION_REGISTRY, LateFusion
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import Limits, combine

logger = logging.getLogger(__name__)

# What one batch counts for in the running gain of a fusion that is trained with the detector.
_SHARE = 0.01


@LATE_FUSION_REGISTRY.register()
class AverageFusion(LateFusion):
    """The mean of the two softmax outputs."""

    def __init__(self, cfg: CfgNode | None = None) -> None:
        super().__init__()

    def forward(self, rgb: StageOutput, flow: StageOutput, limits: Limits) -> list[Instances]:
        boxes = [(a + b) / 2 for a, b in zip(rgb.boxes, flow.boxes)]
        probs = [self.probabilities(a, b) for a, b in zip(rgb.logits, flow.logits)]
        return combine([StageOutput("fused", boxes, probs, rgb.image_sizes)], "union", *limits)

    def probabilities(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Fused probabilities (R, K + 1) of two heads' logits (R, K + 1) each."""
        return average_softmax(rgb, flow)


class LearnedFusion(AverageFusion):
    """A fusion with parameters, which answers as the average does until it is better than that.

    Its state has ``gain``: by how much its mean cross entropy is below the average's on what it
    was trained on, 0 before. While that is not positive the average takes its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.zeros(()))

    def logits(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Fused logits (R, K + 1) of two heads' logits (R, K + 1) each."""
        raise NotImplementedError

    def probabilities(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        if self.gain.item() > 0:
            return self.logits(rgb, flow).softmax(dim=1)
        return average_softmax(rgb, flow)

    def losses(
        self, rgb: torch.Tensor, flow: torch.Tensor, classes: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """``loss_fusion``, the mean cross entropy of R boxes, in training with the detector.

        The heads get no gradient: fusion is late, as in the works that it is from.

        Args:
            rgb, flow: logits (R, K + 1).
            classes: (R,) int64, K for background.
        """
        rgb, flow = rgb.detach().float(), flow.detach().float()
        loss = F.cross_entropy(self.logits(rgb, flow), classes, reduction="sum")
        loss = loss / max(len(classes), 1)
        if len(classes):
            gain = average_loss(rgb, flow, classes) - loss.detach()
            self.gain.lerp_(gain, _SHARE)
        return {"loss_fusion": loss}

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Weights of a detector that has no such fusion leave it at the average."""
        if not all(prefix + key in state_dict for key in self.state_dict()):
            logger.warning("the weights have no fusion of their own: it answers as the average")
            state_dict.update({prefix + k: v.clone() for k, v in self.state_dict().items()})
        super()._load_from_state_dict(state_dict, prefix, *args)


@LATE_FUSION_REGISTRY.register()
class ClassWeightsFusion(LearnedFusion):
    """Softmax of a sum of the heads' logits, with a weight for each stream and class.

    Args:
        num_classes: K; background has weights, too.
    """

    @configurable
    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((2, num_classes + 1), 0.5))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        return {"num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES}

    def logits(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        return self.weights[0] * rgb + self.weights[1] * flow


@LATE_FUSION_REGISTRY.register()
class FullyConnectedFusion(LearnedFusion):
    """Softmax of a fully connected layer on the heads' joined logits.

    Args:
        num_classes: K.
    """

    @configurable
    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        outputs = num_classes + 1
        self.layer = nn.Linear(2 * outputs, outputs)
        nn.init.zeros_(self.layer.bias)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(outputs).repeat(1, 2) / 2)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        return {"num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES}

    def logits(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([rgb, flow], dim=1))


def average_softmax(rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Mean (R, K + 1) of the softmax of two heads' logits."""
    return (rgb.softmax(dim=1) + flow.softmax(dim=1)) / 2


def average_loss(rgb: torch.Tensor, flow: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy () of the average of the softmax."""
    return F.nll_loss(average_softmax(rgb, flow).clamp(min=1e-12).log(), classes)
