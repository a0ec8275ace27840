"""Video in and out: decoding, clips, drawing, encoding. NumPy, OpenCV, Pillow and PyAV."""

from pcsc_d2.video.clips import clip_indices, flow_indices
from pcsc_d2.video.decoding import DecodingRule
from pcsc_d2.video.drawing import (
    color_of,
    draw_boxes,
    draw_tubes,
    image_grid,
    write_image,
)
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.reading import FrameCache, VideoSource, read_frames
from pcsc_d2.video.writing import write_video

__all__ = [
    "DecodingRule",
    "FrameCache",
    "VideoError",
    "VideoSource",
    "clip_indices",
    "color_of",
    "draw_boxes",
    "draw_tubes",
    "flow_indices",
    "image_grid",
    "read_frames",
    "write_image",
    "write_video",
]
