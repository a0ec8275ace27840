"""The two-stream model, registered with Detectron2."""

from .actionness_head import (
    ROI_ACTIONNESS_HEAD_REGISTRY,
    ActionnessHead,
    build_actionness_head,
)
from .cooperation_roi_heads import CooperationROIHeads
from .i3d_fpn import I3DFPN, I3DTrunk, build_i3d_fpn_backbone
from .two_stream_rcnn import TwoStreamRCNN

__all__ = [
    "I3DFPN",
    "ROI_ACTIONNESS_HEAD_REGISTRY",
    "ActionnessHead",
    "CooperationROIHeads",
    "I3DTrunk",
    "TwoStreamRCNN",
    "build_actionness_head",
    "build_i3d_fpn_backbone",
]
