"""Convolutions of 3x3 and 3x3x3 with fewer multiplications, for inference on a CPU.

Winograd's minimal filtering (Lavin and Gray, 2016) in the two axes of the image: a tile of 4x4
outputs takes 36 products of transformed values where the convolution takes 144. Frames are summed
as a convolution sums them. The products of all tiles are 36 matrix products, which a CPU does at
its full speed. Answers differ from the convolution's by rounding, some 1e-6 of the largest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

# Outputs of a tile along an axis, and the inputs that they see.
_OUT, _IN = 4, 6
# Points of a tile, which are transformed independently.
_POINTS = _IN * _IN
# For the points 0, 1, -1, 2, -2 and infinity.
_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_KERNEL = (
    torch.tensor(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
        dtype=torch.float64,
    )
    / 24
)
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
)
# Tiles that run at once: enough for full speed, few enough for the processor's cache.
_TILES = 320


class WinogradConv(nn.Module):
    """A convolution in place of another, (N, C, H, W) or (N, C, T, H, W); for inference.

    It gives the layout channels last, and is fastest if it is given that.

    Args:
        conv: 3x3 or 3x3x3, stride 1, padding 1; see ``suits``.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        kernel = conv.weight.detach().double()
        if kernel.dim() == 4:
            kernel = kernel[:, :, None]
        kernel = torch.einsum("ai,octij,bj->tabco", _KERNEL, kernel, _KERNEL)
        self.taps = len(kernel)
        # (taps in time x points, C, out channels): of three axes, which no layout reorders.
        self.register_buffer("kernel", kernel.flatten(0, 2).float().contiguous(), False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), False)
        self.register_buffer("to_points", torch.kron(_INPUT, _INPUT).float(), False)
        self.register_buffer("to_outputs", torch.kron(_OUTPUT, _OUTPUT).float(), False)
        self.stride = conv.stride  # which Unit3d asks for
        # Detectron2's convolutions may have one.
        self.activation = getattr(conv, "activation", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 4:
            y = self._frames(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            clips = x.permute(0, 2, 3, 4, 1)
            y = torch.stack([self._frames(clip) for clip in clips]).permute(0, 4, 1, 2, 3)
        return y if self.activation is None else self.activation(y)

    def _frames(self, x: torch.Tensor) -> torch.Tensor:
        """Frames (T, H, W, C) of one clip, or images, -> (T, H, W, out channels)."""
        length, height, width, _ = x.shape
        down, across = -(-height // _OUT), -(-width // _OUT)
        filled = (1, _OUT * across + 1 - width, 1, _OUT * down + 1 - height)
        x = F.pad(x, (0, 0, *filled))
        y = x.new_empty(length, down, _OUT, across, _OUT, self.kernel.shape[-1])
        step = max(1, min(length, _TILES // (down * across)))
        for first in range(0, length, step):
            last = min(first + step, length)
            y[first:last] = self._tiles(x, first, last, (down, across))
        y = y.flatten(1, 2).flatten(2, 3)[:, :height, :width]
        return y.contiguous() if self.bias is None else y.contiguous().add_(self.bias)

    def _tiles(self, x: torch.Tensor, first: int, last: int, grid: tuple[int, int]) -> torch.Tensor:
        """Frames ``first`` to ``last`` of the outcome, (frames, down, 4, across, 4, channels)."""
        taps, tiles = self.taps, grid[0] * grid[1]
        kernel = self.kernel.split(_POINTS)
        begin, end = max(0, first - taps // 2), min(len(x), last + taps // 2)
        points = self._points(x[begin:end], grid)
        middle = first - begin
        products = torch.bmm(_rows(points, middle, last - begin), kernel[taps // 2])
        for tap in range(taps):
            shift = tap - taps // 2
            # Of those frames, the ones whose neighbour is in the clip.
            start, stop = max(first, -shift), min(last, len(x) - shift)
            if shift and start < stop:
                there = products[:, (start - first) * tiles : (stop - first) * tiles]
                other = _rows(points, start + shift - begin, stop + shift - begin)
                there.baddbmm_(other, kernel[tap])
        outputs = self.to_outputs @ products.flatten(1)
        return outputs.view(_OUT, _OUT, last - first, *grid, -1).permute(2, 3, 0, 4, 1, 5)

    def _points(self, x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Padded frames -> their tiles transformed, (36, frames, tiles, C)."""
        frame, row, column, channel = x.stride()
        sizes = (_IN, _IN, len(x), *grid, x.shape[-1])
        steps = (row, column, frame, _OUT * row, _OUT * column, channel)
        tiles = x.as_strided(sizes, steps, x.storage_offset()).reshape(_POINTS, -1)
        return (self.to_points @ tiles).view(_POINTS, len(x), grid[0] * grid[1], -1)


def _rows(points: torch.Tensor, first: int, last: int) -> torch.Tensor:
    return points[:, first:last].flatten(1, 2)


def suits(conv: nn.Module, least_channels: int) -> bool:
    """Whether a module is such a convolution, with so many channels at least in and out."""
    if not isinstance(conv, nn.Conv2d | nn.Conv3d) or conv.groups != 1:
        return False
    square = set(conv.kernel_size) == {3}
    plain = set(conv.stride) == set(conv.padding) == set(conv.dilation) == {1}
    fixed = getattr(conv, "norm", None) is None and conv.padding_mode == "zeros"
    wide = min(conv.in_channels, conv.out_channels) >= least_channels
    return square and plain and fixed and wide


def use_winograd(network: nn.Module, least_channels: int = 64) -> int:
    """Replace the convolutions of a network that suit, in place; returns how many.

    Args:
        least_channels: narrower ones stay, as they gain nothing.
    """
    found = [
        (parent, name, conv)
        for parent in network.modules()
        for name, conv in parent.named_children()
        if suits(conv, least_channels)
    ]
    for parent, name, conv in found:
        setattr(parent, name, WinogradConv(conv))
    return len(found)
