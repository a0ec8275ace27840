"""Temporal cooperation (``layers.segments``) as a part of a detector."""

from __future__ import annotations

from functools import partial

from detectron2.config import CfgNode
from torch import nn

from pcsc_d2.layers.segments import SegmentCooperation, SegmentSizes, tube_actionness
from pcsc_d2.tubes import Judge


def build_segments(cfg: CfgNode, channels: int) -> SegmentCooperation:
    """The network of ``SOLVER.SEGMENTS``, for boxes of so many channels in either stream."""
    node = cfg.SOLVER.SEGMENTS
    classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    sizes = SegmentSizes(channels, classes, node.STAGES, exchange=node.EXCHANGE)
    return SegmentCooperation(sizes)


def judge_of(model: nn.Module) -> Judge | None:
    """What a detector's network says of whole tubes; None where it has no such network."""
    network = getattr(getattr(model, "roi_heads", None), "segments", None)
    return None if network is None else partial(tube_actionness, network)
