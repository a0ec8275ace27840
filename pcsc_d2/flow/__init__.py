"""Optical flow: computing it, keeping it on disk, and flow that was made elsewhere."""

from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import FLOW_METHODS, compute_flow, flip_flow, resize_flow
from pcsc_d2.flow.store import FlowReport, FlowStore

__all__ = [
    "FLOW_METHODS",
    "FlowError",
    "FlowReport",
    "FlowStore",
    "compute_flow",
    "flip_flow",
    "flow_to_color",
    "resize_flow",
]
