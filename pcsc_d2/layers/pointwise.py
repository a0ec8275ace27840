"""Convolutions of 1x1 and 1x1x1 as products with a matrix, for inference on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PointwiseConv(nn.Module):
    """A convolution in place of another, (N, C, H, W) or (N, C, T, H, W); for inference.

    It gives the layout channels last, and is fastest if it is given that.

    Args:
        conv: of one cell, stride 1, no padding; see ``is_pointwise``.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.register_buffer("matrix", conv.weight.detach().flatten(1).contiguous(), False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), False)
        self.stride = conv.stride  # which Unit3d asks for
        # Detectron2's convolutions may have one.
        self.activation = getattr(conv, "activation", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x.movedim(1, -1), self.matrix, self.bias).movedim(-1, 1)
        return y if self.activation is None else self.activation(y)


def is_pointwise(conv: nn.Module) -> bool:
    """Whether a module is such a convolution."""
    if not isinstance(conv, nn.Conv2d | nn.Conv3d) or conv.groups != 1:
        return False
    plain = set(conv.kernel_size) == set(conv.stride) == {1} and set(conv.padding) == {0}
    return plain and getattr(conv, "norm", None) is None


def use_products(network: nn.Module) -> int:
    """Replace the convolutions of a network that are of one cell, in place; returns how many."""
    found = [
        (parent, name, conv)
        for parent in network.modules()
        for name, conv in parent.named_children()
        if is_pointwise(conv)
    ]
    for parent, name, conv in found:
        setattr(parent, name, PointwiseConv(conv))
    return len(found)
