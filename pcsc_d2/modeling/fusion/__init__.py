"""Late fusion of the two streams, what the paper compares cooperation with."""

from pcsc_d2.modeling.fusion.base import LATE_FUSION_REGISTRY, LateFusion, build_late_fusion
from pcsc_d2.modeling.fusion.boost import BoostFusion
from pcsc_d2.modeling.fusion.same_boxes import (
    AverageFusion,
    ClassWeightsFusion,
    FullyConnectedFusion,
    LearnedFusion,
)

__all__ = [
    "LATE_FUSION_REGISTRY",
    "AverageFusion",
    "BoostFusion",
    "ClassWeightsFusion",
    "FullyConnectedFusion",
    "LateFusion",
    "LearnedFusion",
    "build_late_fusion",
]
