"""Temporal cooperation: segments of a tube, found by two streams that help each other."""

from pcsc_d2.modeling.segments.cooperation import (
    SegmentCooperation,
    SegmentLosses,
    build_segments,
    judge_of,
    tube_actionness,
)
from pcsc_d2.modeling.segments.segments import (
    keep_best,
    pool_segments,
    runs_over,
    segment_iou,
)

__all__ = [
    "SegmentCooperation",
    "SegmentLosses",
    "build_segments",
    "judge_of",
    "keep_best",
    "pool_segments",
    "runs_over",
    "segment_iou",
    "tube_actionness",
]
