"""Temporal cooperation: segments of a tube, found by two streams that help each other."""

from pcsc_d2.layers.segments.cooperation import (
    SegmentCooperation,
    SegmentLosses,
    SegmentSizes,
    tube_actionness,
)
from pcsc_d2.layers.segments.segments import (
    keep_best,
    pool_segments,
    runs_over,
    segment_iou,
)
from pcsc_d2.layers.segments.vector import from_vector, to_vector

__all__ = [
    "SegmentCooperation",
    "SegmentLosses",
    "SegmentSizes",
    "from_vector",
    "keep_best",
    "pool_segments",
    "runs_over",
    "segment_iou",
    "to_vector",
    "tube_actionness",
]
