"""Max pooling axis by axis, for inference on a CPU."""

from __future__ import annotations

import torch
from torch import nn

from pcsc_d2.layers.i3d import Triple, same_padding


class AxisMaxPool3d(nn.Module):
    """Max pooling with SAME padding: (N, C, T, H, W) in and out.

    Six comparisons a value for 3x3x3, where torch's kernel makes 26 and took half of an Inception
    block's time.

    Args:
        kernel, stride: along T, H and W.
    """

    def __init__(self, kernel: Triple = (3, 3, 3), stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis, kernel, stride in zip((2, 3, 4), self.kernel, self.stride):
            if kernel > 1:
                x = _largest(x, axis, kernel, stride)
        return x


def _largest(x: torch.Tensor, axis: int, kernel: int, stride: int) -> torch.Tensor:
    """Of each window of neighbours along an axis; what lies beyond the ends does not count."""
    size = x.shape[axis]
    before, _ = same_padding(size, kernel, stride)
    number = -(-size // stride)
    # The window's value that every window has.
    found = _every(x, axis, 0, stride, number).clone()
    for offset in range(-before, kernel - before):
        first = -(min(offset, 0) // stride)
        last = min(number, (size - 1 - offset) // stride + 1)
        if offset and first < last:
            part = found.narrow(axis, first, last - first)
            beside = _every(x, axis, first * stride + offset, stride, last - first)
            torch.maximum(part, beside, out=part)
    return found


def _every(x: torch.Tensor, axis: int, first: int, stride: int, number: int) -> torch.Tensor:
    """So many slices along an axis, from one on and ``stride`` apart."""
    chosen = x.narrow(axis, first, (number - 1) * stride + 1)
    return chosen.unfold(axis, 1, stride).squeeze(-1) if stride > 1 else chosen
