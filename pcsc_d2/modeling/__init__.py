"""The two-stream model, registered with Detectron2."""

from pcsc_d2.modeling.actionness_head import (
    ROI_ACTIONNESS_HEAD_REGISTRY,
    ActionnessHead,
    build_actionness_head,
)
from pcsc_d2.modeling.box_head import ConvFCMeanHead
from pcsc_d2.modeling.building import build_detector, building, require_detector, what_is_incomplete
from pcsc_d2.modeling.cooperation_roi_heads import CooperationROIHeads
from pcsc_d2.modeling.i3d_fpn import (
    I3DFPN,
    I3DTrunk,
    build_fpn,
    build_i3d_fpn_backbone,
    build_s3d_fpn_backbone,
)
from pcsc_d2.modeling.trunk_classifier import TrunkClassifier
from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN

__all__ = [
    "I3DFPN",
    "ROI_ACTIONNESS_HEAD_REGISTRY",
    "ActionnessHead",
    "ConvFCMeanHead",
    "CooperationROIHeads",
    "I3DTrunk",
    "TrunkClassifier",
    "TwoStreamRCNN",
    "build_actionness_head",
    "build_detector",
    "build_fpn",
    "build_i3d_fpn_backbone",
    "build_s3d_fpn_backbone",
    "building",
    "require_detector",
    "what_is_incomplete",
]
