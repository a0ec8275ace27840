"""Video, optical flow and annotations: NumPy, OpenCV and PyAV, for any detector."""

from pcsc_d2.video.clips import clip_indices, flow_indices
from pcsc_d2.video.decoding import DecodingRule, VideoError
from pcsc_d2.video.reading import FrameCache, VideoSource, read_frames

__all__ = [
    "DecodingRule",
    "FrameCache",
    "VideoError",
    "VideoSource",
    "clip_indices",
    "flow_indices",
    "read_frames",
]
