"""Video, optical flow and annotations: NumPy, OpenCV and PyAV, for any detector."""

from pcsc_d2.video.clips import clip_indices, flow_indices
from pcsc_d2.video.decoding import DecodingRule, VideoError
from pcsc_d2.video.flow import FLOW_METHODS, FlowError, compute_flow, flip_flow, resize_flow
from pcsc_d2.video.flow_color import flow_to_color
from pcsc_d2.video.flow_store import FlowReport, FlowStore
from pcsc_d2.video.reading import FrameCache, VideoSource, read_frames

__all__ = [
    "FLOW_METHODS",
    "DecodingRule",
    "FlowError",
    "FlowReport",
    "FlowStore",
    "FrameCache",
    "VideoError",
    "VideoSource",
    "clip_indices",
    "compute_flow",
    "flip_flow",
    "flow_indices",
    "flow_to_color",
    "read_frames",
    "resize_flow",
]
