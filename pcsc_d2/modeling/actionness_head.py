"""Class-specific actionness: is it really action c that this box shows (Section 3.4)?

    ROI features (R, C, S, S) after cooperation -> mean over the grid, where it is pooled
        -> per-channel standardisation -> FC + ReLU, ... -> N logits, a binary classifier per class

A detection of class c gets the sigmoid of output c. Shaped like Detectron2's mask head: register
another one in ``ROI_ACTIONNESS_HEAD_REGISTRY`` and name it in ``MODEL.ACTIONNESS.NAME``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from detectron2.utils.registry import Registry
from fvcore.nn import weight_init
from torch import nn
from torch.nn import functional as F

ROI_ACTIONNESS_HEAD_REGISTRY = Registry("ROI_ACTIONNESS_HEAD")
ROI_ACTIONNESS_HEAD_REGISTRY.__doc__ = """
Heads that tell from ROI features whether an action happens in a box: called with ``(features,
instances)``, they give ``{"loss_actionness"}`` in training, else the instances with
``actionness`` set.
"""

FEATURES = ("cooperation", "stream")
# What temporal cooperation sees, which is no choice of the head's: RGB's and flow's, in that order.
BOTH = "both"


def build_actionness_head(cfg: CfgNode, input_shape: ShapeSpec) -> nn.Module:
    """The head that ``MODEL.ACTIONNESS.NAME`` names."""
    return ROI_ACTIONNESS_HEAD_REGISTRY.get(cfg.MODEL.ACTIONNESS.NAME)(cfg, input_shape)


def pool_rois(features: torch.Tensor) -> torch.Tensor:
    """ROI features (R, C, S, S) -> their means over the grid, (R, C, 1, 1)."""
    return features.mean(dim=(2, 3), keepdim=True)


@ROI_ACTIONNESS_HEAD_REGISTRY.register()
class ActionnessHead(nn.Module):
    """N binary classifiers on ROI features, or one for all classes.

    Its state carries how tubes are to be refined with it, so that a checkpoint has all of it:
    ``threshold`` (0 until it is trained, which refines nothing) and ``window``.

    Args:
        input_shape: channels, height and width of the ROI features.
        num_classes: N.
        fc_dims: hidden layers.
        class_specific: False for one classifier that serves all classes (an ablation).
        pooled: look at ``pool_rois`` of the features; those that are pooled already may be given.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        fc_dims: list[int],
        class_specific: bool = True,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_specific = class_specific
        self.pooled = pooled
        channels = input_shape.channels
        size = 1 if pooled else input_shape.height * input_shape.width
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("window", torch.ones((), dtype=torch.int64))
        dims = [channels * size, *fc_dims]
        self.fcs = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))
        for layer in self.fcs:
            weight_init.c2_xavier_fill(layer)
        self.predictor = nn.Linear(dims[-1], num_classes if class_specific else 1)
        nn.init.zeros_(self.predictor.weight)
        nn.init.zeros_(self.predictor.bias)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, object]:
        node = cfg.MODEL.ACTIONNESS
        return {
            "input_shape": input_shape,
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            "fc_dims": [node.FC_DIM] * node.NUM_FC,
            "class_specific": node.CLASS_SPECIFIC,
            "pooled": node.POOLED,
        }

    def forward(
        self, x: torch.Tensor, instances: list[Instances]
    ) -> dict[str, torch.Tensor] | list[Instances]:
        """Loss in training, else the instances with the actionness of their own class.

        Args:
            x: ROI features (R, C, S, S) of all instances, image by image.
            instances: with ``pred_classes``; in training also ``gt_actionness`` (0 or 1) and
                ``loss_weights``.

        Returns:
            ``{"loss_actionness": weighted mean of the binary cross entropy}``, or ``instances``,
            each with ``actionness`` (R_i,) float32 in [0, 1].
        """
        classes = torch.cat([i.pred_classes for i in instances])
        logits = self.layers(x).gather(1, self._columns(classes)[:, None])[:, 0]
        if self.training:
            return {"loss_actionness": actionness_loss(logits, instances)}
        actionness = logits.float().sigmoid().split([len(i) for i in instances])
        for found, values in zip(instances, actionness):
            found.actionness = values
        return instances

    def layers(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (R, N), or (R, 1) for the general classifier."""
        x = pool_rois(x.float()) if self.pooled else x.float()
        x = ((x - self.mean) / self.std).flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x))
        return self.predictor(x)

    def _columns(self, classes: torch.Tensor) -> torch.Tensor:
        return classes if self.class_specific else torch.zeros_like(classes)


def actionness_loss(logits: torch.Tensor, instances: list[Instances]) -> torch.Tensor:
    """Binary cross entropy of (R,) logits, averaged under the instances' ``loss_weights``."""
    labels = torch.cat([i.gt_actionness for i in instances]).to(logits.dtype)
    weights = torch.cat([i.loss_weights for i in instances])
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1e-6)
