"""Convolutions of 3x3 and 3x3x3 with fewer multiplications, for inference on a CPU.

Winograd's minimal filtering (Lavin and Gray, 2016) in the two axes of the image: a tile of 4x4
outputs takes 36 products of transformed values where the convolution takes 144. Frames are summed
as a convolution sums them. The products of all tiles are 36 matrix products, which a CPU does at
its full speed. Tiles are transformed axis by axis with a dozen additions of whole slices. Answers
differ from the convolution's by rounding, less than 1e-5 of the largest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

# Outputs of a tile along an axis, and the inputs that they see.
_OUT, _IN = 4, 6
# Points of a tile, which are transformed independently.
_POINTS = _IN * _IN
# For the points 0, 1, -1, 2, -2 and infinity.
_KERNEL = (
    torch.tensor(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
        dtype=torch.float64,
    )
    / 24
)
# A value of an axis's second point is one of each of the four outputs: where a bias is added.
_ONES = 1
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
        kernel = torch.einsum("ai,octij,bj->tbaco", _KERNEL, kernel, _KERNEL)
        self.taps, self.out_channels = len(kernel), conv.out_channels
        # (taps in time x points, C, out channels): of three axes, which no layout reorders.
        self.register_buffer("kernel", kernel.flatten(0, 2).float().contiguous(), False)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach(), False)
        self.stride = conv.stride  # which Unit3d asks for
        # Detectron2's convolutions may have one.
        self.activation = getattr(conv, "activation", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 4:
            y = self._images(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            clips = [self.frames(clip)[None] for clip in x.permute(0, 2, 3, 4, 1)]
            y = (clips[0] if len(clips) == 1 else torch.cat(clips)).permute(0, 4, 1, 2, 3)
        return y if self.activation is None else self.activation(y)

    def _images(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, H, W, C) -> (N, H, W, out channels), as many at once as the cache holds."""
        number, height, width, _ = x.shape
        tiles = -(-height // _OUT) * -(-width // _OUT)
        step = max(1, _TILES // tiles)
        if step >= number:
            return self.frames(x)
        y = self._empty(x, height, width)
        for images, out in zip(x.split(step), y.split(step)):
            self.frames(images, out)
        return y

    def frames(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Frames (T, H, W, C) of one clip, or images, -> (T, H, W, out channels)."""
        length, height, width, _ = x.shape
        down, across = -(-height // _OUT), -(-width // _OUT)
        filled = (1, _OUT * across + 1 - width, 1, _OUT * down + 1 - height)
        x = F.pad(x, (0, 0, *filled))
        whole = (height, width) == (_OUT * down, _OUT * across)
        y = out if whole and out is not None else self._empty(x, _OUT * down, _OUT * across)
        step = max(1, min(down, _TILES // (length * across)))
        for first in range(0, down, step):
            last = min(first + step, down)
            tiles = self._tiles(x[:, _OUT * first : _OUT * last + 2], last - first, across)
            rows = y[:, _OUT * first : _OUT * last]
            _outputs(tiles, rows.unflatten(2, (across, _OUT)).unflatten(1, (last - first, _OUT)))
        if whole:
            return y
        y = y[:, :height, :width]
        return y.contiguous() if out is None else out.copy_(y)

    def _empty(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return x.new_empty(len(x), height, width, self.out_channels)

    def _tiles(self, x: torch.Tensor, down: int, across: int) -> torch.Tensor:
        """Padded rows of frames -> products (6, 6, frames, down, across, out channels)."""
        length, tiles = len(x), down * across
        points = _points(x, down, across).flatten(0, 1).flatten(2, 3)
        kernel, middle = self.kernel.split(_POINTS), self.taps // 2
        products = torch.bmm(points.flatten(1, 2), kernel[middle])
        for tap, values in enumerate(kernel):
            # Of the frames whose neighbour is in the clip.
            shift = tap - middle
            first, last = max(0, -shift), min(length, length - shift)
            if shift and first < last:
                there = products[:, first * tiles : last * tiles]
                there.baddbmm_(points[:, first + shift : last + shift].flatten(1, 2), values)
        if self.bias is not None:
            products[_ONES * _IN + _ONES] += self.bias
        return products.view(_IN, _IN, length, down, across, -1)


def _points(x: torch.Tensor, down: int, across: int) -> torch.Tensor:
    """Padded rows (T, 4 down + 2, W, C) -> (6, 6, T, down, across, C), tiles transformed."""
    length, _, width, channels = x.shape
    rows = x.new_empty(_IN, length, down, width, channels)
    _to_points([x[:, i : i + _OUT * down - 3 : _OUT] for i in range(_IN)], rows)
    found = x.new_empty(_IN, _IN, length, down, across, channels)
    _to_points([rows[:, :, :, i : i + _OUT * across - 3 : _OUT] for i in range(_IN)], found)
    return found


def _to_points(x: list[torch.Tensor], out: torch.Tensor) -> None:
    """Six values along an axis -> at its six points."""
    even, odd = x[4] - x[2], x[3] - x[1]
    torch.add(even, x[0] - x[2], alpha=4, out=out[0])
    torch.sub(x[5] - x[3], odd, alpha=4, out=out[5])
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    even.sub_(x[2], alpha=3)
    odd.sub_(x[1], alpha=3)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])


def _outputs(products: torch.Tensor, out: torch.Tensor) -> None:
    """Products (6, 6, T, down, across, C) -> (T, down, 4, across, 4, C), in place."""
    columns = products.new_empty(_OUT, *products.shape[1:])
    _from_points(products, columns)
    rows = [out[:, :, i].permute(3, 0, 1, 2, 4) for i in range(_OUT)]
    _from_points(columns.unbind(1), rows)


def _from_points(x: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
    """Products at an axis's six points -> its four outputs."""
    one, other = x[1] + x[2], x[3] + x[4]
    torch.add(one, other, alpha=4, out=out[2])
    torch.add(one.add_(other), x[0], out=out[0])
    one, other = x[1] - x[2], x[3] - x[4]
    torch.add(one, other, alpha=2, out=out[1])
    torch.add(one.add_(other, alpha=8), x[5], out=out[3])


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
