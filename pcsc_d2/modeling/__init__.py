"""The two-stream model, registered with Detectron2."""

from .cooperation_roi_heads import CooperationROIHeads
from .i3d_fpn import I3DFPN, I3DTrunk, build_i3d_fpn_backbone
from .two_stream_rcnn import TwoStreamRCNN

__all__ = ["I3DFPN", "CooperationROIHeads", "I3DTrunk", "TwoStreamRCNN", "build_i3d_fpn_backbone"]
