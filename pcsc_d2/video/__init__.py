"""Video, optical flow and annotations: NumPy, OpenCV and PyAV, for any detector."""

from pcsc_d2.video.annotations import mask_boxes, read_annotations, read_puppet_masks
from pcsc_d2.video.clips import clip_indices, flow_indices
from pcsc_d2.video.decoding import DecodingRule, VideoError
from pcsc_d2.video.drawing import (
    color_of,
    draw_boxes,
    draw_tubes,
    image_grid,
    write_image,
    write_video,
)
from pcsc_d2.video.flow import FLOW_METHODS, FlowError, compute_flow, flip_flow, resize_flow
from pcsc_d2.video.flow_color import flow_to_color
from pcsc_d2.video.flow_store import FlowReport, FlowStore
from pcsc_d2.video.ground_truth_checks import (
    Clip,
    Findings,
    clip_to_image,
    fit_to_clips,
    measure_clips,
)
from pcsc_d2.video.reading import FrameCache, VideoSource, read_frames

__all__ = [
    "FLOW_METHODS",
    "Clip",
    "DecodingRule",
    "Findings",
    "FlowError",
    "FlowReport",
    "FlowStore",
    "FrameCache",
    "VideoError",
    "VideoSource",
    "clip_indices",
    "clip_to_image",
    "color_of",
    "compute_flow",
    "draw_boxes",
    "draw_tubes",
    "fit_to_clips",
    "flip_flow",
    "flow_indices",
    "flow_to_color",
    "image_grid",
    "mask_boxes",
    "measure_clips",
    "read_annotations",
    "read_frames",
    "read_puppet_masks",
    "resize_flow",
    "write_image",
    "write_video",
]
