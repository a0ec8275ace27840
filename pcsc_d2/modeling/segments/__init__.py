"""Temporal cooperation: segments of a tube, found by two streams that help each other."""

from pcsc_d2.modeling.segments.cooperation import SegmentCooperation, SegmentLosses
from pcsc_d2.modeling.segments.segments import (
    keep_best,
    pool_segments,
    runs_over,
    segment_iou,
)

__all__ = [
    "SegmentCooperation",
    "SegmentLosses",
    "keep_best",
    "pool_segments",
    "runs_over",
    "segment_iou",
]
