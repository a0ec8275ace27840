"""Layers of the model in plain PyTorch: I3D and S3D trunks, and messages between the streams."""

from pcsc_d2.layers.i3d import InceptionI3D, TappedTrunk
from pcsc_d2.layers.i3d_weights import load_i3d_weights
from pcsc_d2.layers.message_passing import STREAMS, MessagePassing
from pcsc_d2.layers.s3d import SeparableI3D, load_s3d_weights

__all__ = [
    "STREAMS",
    "InceptionI3D",
    "MessagePassing",
    "SeparableI3D",
    "TappedTrunk",
    "load_i3d_weights",
    "load_s3d_weights",
]
