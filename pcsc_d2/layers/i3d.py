"""The Inception-I3D trunk (Carreira and Zisserman, 2017) and its four pyramid taps.

The taps are the paper's C2 to C5 (Section 3.3; its "Mixed3d" is Mixed_3c, which is what exists):

=====  ==============  ================  =====================
level  module          channels (w=1.0)  stride, time / space
=====  ==============  ================  =====================
c2     Conv3d_2c_3x3   192               2 / 4
c3     Mixed_3c        480               2 / 8
c4     Mixed_4f        832               4 / 16
c5     Mixed_5c        1024              8 / 32
=====  ==============  ================  =====================

Padding is TensorFlow's SAME, which is asymmetric at even sizes; the published weights expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.convolution import SafeConv3d

TAPS = {"Conv3d_2c_3x3": "c2", "Mixed_3c": "c3", "Mixed_4f": "c4", "Mixed_5c": "c5"}
STRIDES = {"c2": (2, 4), "c3": (2, 8), "c4": (4, 16), "c5": (8, 32)}

Triple = tuple[int, int, int]

# Output channels of the branches: 1x1; 1x1 then 3x3; 1x1 then 3x3; pool then 1x1.
MIXED_CHANNELS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis, as (before, after), where kernel >= stride.

    Of a traced size the branch is kept; the second one is right for all sizes.
    """
    total = kernel - stride
    if size % stride != 0:
        total += -size % stride
    return total // 2, total - total // 2


def _pad_same(x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int]) -> torch.Tensor:
    pads = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride)]
    flat = [p for pair in reversed(pads) for p in pair]
    return F.pad(x, flat) if any(flat) else x


class FrozenBatchNorm3d(nn.BatchNorm3d):
    """Batch norm with fixed statistics and affine parameters.

    Detectron2's frozen batch norm is for 4-D input and has another epsilon (see ``Unit3d``).

    Attributes:
        estimating: while it is on, statistics are those of the batch and are kept, as in
            ``nn.BatchNorm3d``.
    """

    estimating = False

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__(channels, eps=eps)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.estimating:
            return super().forward(x)
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(_per_channel(shift, x), x, _per_channel(scale, x))


def _per_channel(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return values.to(x.dtype).view(1, -1, 1, 1, 1)


def build_norm(name: str, channels: int) -> nn.Module:
    """The norm after a convolution: ``"BN"``, ``"FrozenBN"``, ``"SyncBN"`` or ``"GN"``.

    The epsilon of 1e-3 belongs to the published weights: 1e-5 is 16 % off at c5. Their momentum
    of 0.001 suits fine-tuning alone; 0.1 is PyTorch's and lets a short training from scratch
    settle, and with published weights the statistics are usually frozen anyway.
    """
    if name == "BN":
        return nn.BatchNorm3d(channels, eps=1e-3)
    if name == "FrozenBN":
        return FrozenBatchNorm3d(channels)
    if name == "SyncBN":
        return nn.SyncBatchNorm(channels, eps=1e-3)
    if name == "GN":
        return nn.GroupNorm(max(1, channels // 8) if channels % 8 == 0 else 1, channels)
    raise ValueError(f"unknown norm {name!r}: choose BN, FrozenBN, SyncBN or GN")


class Unit3d(nn.Module):
    """Convolution without bias, norm, ReLU, with SAME padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        norm: str = "BN",
    ) -> None:
        super().__init__()
        # At stride 1 SAME is symmetric whatever the size, and the convolution does it itself.
        padding = kernel // 2 if stride == 1 else 0
        self.conv3d = SafeConv3d(
            in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False
        )
        self.bn = build_norm(norm, out_channels)
        nn.init.kaiming_normal_(self.conv3d.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.conv3d.stride[0] > 1:
            x = _pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class MaxPool3dSame(nn.Module):
    """Max pooling with SAME padding; padding by zero is safe behind a ReLU."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool3d(_pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception block: four branches, concatenated over the channels."""

    def __init__(self, in_channels: int, branches: Sequence[int], norm: str) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = branches
        self.b0 = Unit3d(in_channels, c0, norm=norm)
        self.b1a = Unit3d(in_channels, c1a, norm=norm)
        self.b1b = Unit3d(c1a, c1b, kernel=3, norm=norm)
        self.b2a = Unit3d(in_channels, c2a, norm=norm)
        self.b2b = Unit3d(c2a, c2b, kernel=3, norm=norm)
        self.b3a = nn.MaxPool3d(3, stride=1, padding=1)
        self.b3b = Unit3d(in_channels, c3, norm=norm)
        self.out_channels = c0 + c1b + c2b + c3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, dim=1)


class TappedTrunk(nn.Module):
    """Modules that run one after the other, with taps behind those that ``TAPS`` names.

    Args:
        in_channels: 3 for RGB, 2 for flow.
        context: frames at either end of a clip, an even number, that are cut off behind c3, so that
            no slice of c2 and c3 that is kept sees the zeros beyond the ends: see
            ``window_trunk.py`` for what that serves.
    """

    out_channels: dict[str, int]

    def __init__(self, in_channels: int, context: int = 0) -> None:
        super().__init__()
        if context < 0 or context % STRIDES["c3"][0]:
            raise ValueError(f"MODEL.I3D.CONTEXT is an even number of frames, not {context}")
        self.in_channels = in_channels
        self.context = context

    def set_modules(self, modules: dict[str, nn.Module], c2: int) -> None:
        """Take the modules, in their order; ``c2`` is the number of channels there."""
        self.out_channels = {"c2": c2}
        for name, module in modules.items():
            self.add_module(name, module)
            if name in TAPS and TAPS[name] != "c2":
                self.out_channels[TAPS[name]] = module.out_channels

    def freeze(self, freeze_at: int) -> None:
        """Give modules up to and including a level (2 to 5) no gradient; 0 freezes none."""
        if freeze_at == 0:
            return
        if f"c{freeze_at}" not in STRIDES:
            raise ValueError(f"freeze_at is 0 or a level from 2 to 5, not {freeze_at}")
        for name, module in self.named_children():
            for parameter in module.parameters():
                parameter.requires_grad_(False)
            if TAPS.get(name) == f"c{freeze_at}":
                break

    def forward(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        x = clip
        for name, module in self.named_children():
            x = module(x)
            if name in TAPS:
                features[TAPS[name]] = x
            if TAPS.get(name) == "c3":
                features = {level: cut_context(c, self.context) for level, c in features.items()}
                x = features["c3"]
        return features


def scaled_channels(channels: int, width: float) -> int:
    """So many times the channels, in multiples of 8 (of 4 below 16)."""
    wanted = channels * width
    unit = 8 if wanted >= 16 else 4
    return max(unit, round(wanted / unit) * unit)


class InceptionI3D(TappedTrunk):
    """Clip ``(N, C, T, H, W)`` -> ``{"c2", "c3", "c4", "c5"}``, each ``(N, C_l, T_l, H_l, W_l)``.

    RGB is expected in [-1, 1]; flow (u, v) in pixels, clipped to +-20 and divided by 20.

    Args:
        in_channels: 3 for RGB, 2 for flow.
        width: factor on all channels, rounded to multiples of 8 (of 4 below 16); 1.0 is the
            published network (12.3 M parameters), 0.25 suits a CPU.
        norm: see ``build_norm``.
        freeze_at: modules up to and including this level (2 to 5) get no gradient; 0 freezes none.
        context: see ``TappedTrunk``.
    """

    def __init__(
        self,
        in_channels: int,
        width: float = 1.0,
        norm: str = "BN",
        freeze_at: int = 0,
        context: int = 0,
    ) -> None:
        super().__init__(in_channels, context)
        stem, c2 = scaled_channels(64, width), scaled_channels(192, width)
        modules: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit3d(in_channels, stem, kernel=7, stride=2, norm=norm),
            "MaxPool3d_2a_3x3": MaxPool3dSame((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit3d(stem, stem, norm=norm),
            "Conv3d_2c_3x3": Unit3d(stem, c2, kernel=3, norm=norm),
            "MaxPool3d_3a_3x3": MaxPool3dSame((1, 3, 3), (1, 2, 2)),
        }
        modules |= inception_modules(c2, width, MaxPool3dSame, partial(Mixed, norm=norm))
        self.set_modules(modules, c2)
        self.freeze(freeze_at)


def inception_modules(
    c2: int,
    width: float,
    pool: Callable[[Triple, Triple], nn.Module],
    mixed: Callable[[int, list[int]], nn.Module],
) -> dict[str, nn.Module]:
    """The Inception blocks of an I3D, and the pools between them, by name.

    Args:
        c2: channels that come in.
        width: times the published channels.
        pool: makes a pool of a kernel and a stride.
        mixed: makes a block, with ``out_channels``, of the channels that come in and the
            branches'.
    """
    modules: dict[str, nn.Module] = {}
    last = c2
    for name, branches in MIXED_CHANNELS.items():
        if name == "Mixed_4b":
            modules["MaxPool3d_4a_3x3"] = pool((3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            modules["MaxPool3d_5a_2x2"] = pool((2, 2, 2), (2, 2, 2))
        modules[name] = mixed(last, [scaled_channels(c, width) for c in branches])
        last = modules[name].out_channels
    return modules


def mean_over_time(x: torch.Tensor) -> torch.Tensor:
    """``(N, C, T, H, W)`` -> ``(N, C, H, W)`` of the same layout."""
    # Exported files, whose clips are not in that layout, need no strides.
    if torch.jit.is_scripting():
        return x.mean(dim=2)
    if x.stride(1) > 1:
        return x.mean(dim=2)
    # Channels last: torch's mean is ten times as slow where input and output differ in layout.
    return x.permute(0, 2, 3, 4, 1).mean(dim=1).permute(0, 3, 1, 2)


def cut_context(x: torch.Tensor, context: int) -> torch.Tensor:
    """Without the slices of c2 or c3 that belong to ``context`` frames at either end."""
    if context == 0:
        return x
    margin = context // 2
    return x[:, :, margin : x.shape[2] - margin]
