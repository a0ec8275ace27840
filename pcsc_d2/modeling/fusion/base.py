"""What every late fusion is, and how a config names one.

Register another one in ``LATE_FUSION_REGISTRY`` and name it in ``MODEL.FUSION.NAME``.
"""

from __future__ import annotations

from typing import ClassVar

from detectron2.config import CfgNode
from detectron2.structures import Instances
from detectron2.utils.registry import Registry
from torch import nn

from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import Limits

LATE_FUSION_REGISTRY = Registry("LATE_FUSION")
LATE_FUSION_REGISTRY.__doc__ = """
Late fusions by the name that ``MODEL.FUSION.NAME`` has: classes that take a config.
"""


class LateFusion(nn.Module):
    """Makes detections of two answers, RGB's and flow's: of a head each, or of a stream's all."""

    # Whether all heads are to look at the proposals of both streams (the last stage's, where there
    # are stages), so that the answers are about the same boxes, row by row.
    same_boxes: ClassVar[bool] = True

    def forward(self, rgb: StageOutput, flow: StageOutput, limits: Limits) -> list[Instances]:
        """Detections of each image: ``pred_boxes``, ``scores``, ``pred_classes``, best first.

        Args:
            rgb, flow: outputs of the streams' heads, with ``logits``.
            limits: which boxes become detections.
        """
        raise NotImplementedError


def build_late_fusion(cfg: CfgNode) -> LateFusion | None:
    """The fusion that ``MODEL.FUSION.NAME`` names; None for "".

    Raises:
        ValueError: there is no such fusion, or scores are calibrated, too.
    """
    name = cfg.MODEL.FUSION.NAME
    if not name:
        return None
    if name not in LATE_FUSION_REGISTRY:
        names = ", ".join(sorted(key for key, _ in LATE_FUSION_REGISTRY))
        raise ValueError(f"MODEL.FUSION.NAME is {name!r}; there are {names}")
    if cfg.MODEL.COOPERATION.CALIBRATED:
        raise ValueError(
            f"MODEL.FUSION.NAME '{name}' takes scores as they are: set "
            "MODEL.COOPERATION.CALIBRATED False"
        )
    return LATE_FUSION_REGISTRY.get(name)(cfg)
