"""An Inception block with less to do for the same answer, for inference on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.i3d import Mixed, Unit3d
from pcsc_d2.layers.max_pooling import AxisMaxPool3d
from pcsc_d2.layers.winograd import WinogradConv


class LightMixed(nn.Module):
    """In place of a ``Mixed`` whose norms are folded: (N, C, T, H, W) in and out, channels last.

    The three convolutions of one cell that see the block's input are one product with a matrix,
    those of 3x3x3 are Winograd's, pooling goes axis by axis, and all write into one output.

    Args:
        mixed: see ``is_folded``.
    """

    def __init__(self, mixed: Mixed) -> None:
        super().__init__()
        heads = [unit.conv3d for unit in (mixed.b0, mixed.b1a, mixed.b2a)]
        self.widths = [conv.out_channels for conv in heads]
        self.register_buffer("matrix", torch.cat([_matrix(c) for c in heads]), False)
        self.register_buffer("bias", torch.cat([c.bias.detach() for c in heads]), False)
        self.convs = nn.ModuleList(WinogradConv(unit.conv3d) for unit in (mixed.b1b, mixed.b2b))
        self.pool = AxisMaxPool3d()
        self.register_buffer("pooled", _matrix(mixed.b3b.conv3d), False)
        self.register_buffer("pooled_bias", mixed.b3b.conv3d.bias.detach(), False)
        behind = [unit.conv3d.out_channels for unit in (mixed.b1b, mixed.b2b, mixed.b3b)]
        self.branches = [self.widths[0], *behind]
        self.out_channels = mixed.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells = x.permute(0, 2, 3, 4, 1)
        y = x.new_empty(*cells.shape[:-1], self.out_channels)
        first, *others, last = y.split(self.branches, -1)
        own, *given = F.linear(cells, self.matrix, self.bias).relu_().split(self.widths, -1)
        first.copy_(own)
        for conv, values, out in zip(self.convs, given, others):
            for clip, frames in zip(values, out):
                conv.frames(clip, frames).relu_()
        pooled = self.pool(x).permute(0, 2, 3, 4, 1)
        last.copy_(F.linear(pooled, self.pooled, self.pooled_bias).relu_())
        return y.permute(0, 4, 1, 2, 3)


def is_folded(block: nn.Module) -> bool:
    """Whether a module is an Inception block whose convolutions have their norms in them."""
    if not isinstance(block, Mixed):
        return False
    units = [unit for unit in block.children() if isinstance(unit, Unit3d)]
    return all(isinstance(unit.bn, nn.Identity) for unit in units)


def _matrix(conv: nn.Conv3d) -> torch.Tensor:
    return conv.weight.detach().flatten(1).contiguous()
