"""Layers of the model in plain PyTorch: the I3D trunk and the message between the streams."""

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.i3d_weights import load_i3d_weights
from pcsc_d2.layers.message_passing import MessagePassing

__all__ = ["InceptionI3D", "MessagePassing", "load_i3d_weights"]
