"""Layers of the model in plain PyTorch: the I3D trunk and the message between the streams."""

from .i3d import InceptionI3D, load_i3d_weights
from .message_passing import MessagePassing

__all__ = ["InceptionI3D", "MessagePassing", "load_i3d_weights"]
