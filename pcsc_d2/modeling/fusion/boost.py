"""The boost of Saha et al. (BMVC 2016): motion raises the scores of appearance boxes."""

from __future__ import annotations

from typing import ClassVar

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Boxes, Instances, pairwise_iou

from pcsc_d2.modeling.fusion.base import LATE_FUSION_REGISTRY, LateFusion
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import Limits, combine


@LATE_FUSION_REGISTRY.register()
class BoostFusion(LateFusion):
    """RGB's detections, each raised by the flow detection of its class that it overlaps most.

    Its score becomes s_rgb + IoU * s_flow where the IoU reaches the threshold. Flow's detections
    bring no boxes of their own, and scores reach 2.

    Args:
        iou: the threshold, 0.3 in the paper.
    """

    same_boxes: ClassVar[bool] = False

    @configurable
    def __init__(self, *, iou: float) -> None:
        super().__init__()
        self.iou = iou

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        return {"iou": cfg.MODEL.FUSION.BOOST_IOU}

    def forward(self, rgb: StageOutput, flow: StageOutput, limits: Limits) -> list[Instances]:
        found, helping = (combine([x], "union", *limits) for x in (rgb, flow))
        return [self._boost(*pair) for pair in zip(found, helping)]

    def _boost(self, rgb: Instances, flow: Instances) -> Instances:
        overlap = pairwise_iou(rgb.pred_boxes, flow.pred_boxes)
        alike = rgb.pred_classes[:, None] == flow.pred_classes[None]
        gains = torch.where(alike & (overlap >= self.iou), overlap, 0.0)
        # A column of zeros: an image may have no detection of flow.
        gains = torch.cat([gains, gains.new_zeros(gains.shape[0], 1)], dim=1)
        scores = torch.cat([flow.scores, flow.scores.new_zeros(1)])
        most, which = gains.max(dim=1)
        raised = rgb.scores + most * scores[which]
        order = raised.argsort(descending=True)
        # By index_select: the ONNX exporter does not know the type of a sorted order.
        return Instances(
            rgb.image_size,
            pred_boxes=Boxes(rgb.pred_boxes.tensor.index_select(0, order)),
            scores=raised.index_select(0, order),
            pred_classes=rgb.pred_classes.index_select(0, order),
        )
