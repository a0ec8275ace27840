"""The separable I3D, S3D and S3D-G (Xie et al. 2018), with I3D's taps and names of modules.

A kernel of 3x3x3 is one of 1x3x3 and one of 3x1x1, each with norm and ReLU. S3D-G multiplies
channels by gates that look at their means over the clip. Strides are I3D's, and so is all else
that works on a trunk's modules by name: dense video, export, engines.

Two networks go by the name, whose weights are published:

- ``"torchvision"``: ``torchvision.models.video.s3d``, without gates; padding is symmetric.
- ``"howto100m"``: Miech et al.'s, with gates behind Conv3d_2c_3x3 and every branch; its stem is not
  separable and works on cells of 2x2x2 pixels, pools are padded as TensorFlow does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.convolution import SafeConv3d
from pcsc_d2.layers.i3d import (
    MaxPool3dSame,
    TappedTrunk,
    Triple,
    Unit3d,
    build_norm,
    inception_modules,
    scaled_channels,
)
from pcsc_d2.layers.i3d_weights import fill_trunk, read_weights, stem_for, within

VARIANTS = ("torchvision", "howto100m")
# Of the norms that the published weights are with.
_EPSILON = {"torchvision": 1e-3, "howto100m": 1e-5}


class PlainUnit3d(Unit3d):
    """Convolution without bias, norm, ReLU, with the padding that is given."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple = (1, 1, 1),
        stride: Triple = (1, 1, 1),
        padding: Triple = (0, 0, 0),
        norm: str = "BN",
        eps: float = 1e-3,
    ) -> None:
        nn.Module.__init__(self)
        self.conv3d = SafeConv3d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = build_norm(norm, out_channels)
        if hasattr(self.bn, "running_var"):
            self.bn.eps = eps
        nn.init.kaiming_normal_(self.conv3d.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class Gate(nn.Module):
    """Channels times the sigmoid of a linear layer on their means over time and space."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(x.mean(dim=(2, 3, 4))).sigmoid()[:, :, None, None, None]


class Separable(nn.Module):
    """A kernel in space, then one in time, then a gate where there is one."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        unit: Callable[..., PlainUnit3d],
        kernel: int = 3,
        stride: int = 1,
        gating: bool = False,
    ) -> None:
        super().__init__()
        pad = kernel // 2
        space = ((1, kernel, kernel), (1, stride, stride), (0, pad, pad))
        time = ((kernel, 1, 1), (stride, 1, 1), (pad, 0, 0))
        self.spatial = unit(in_channels, out_channels, *space)
        self.temporal = unit(out_channels, out_channels, *time)
        self.gate = Gate(out_channels) if gating else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gate(self.temporal(self.spatial(x)))


class SeparableMixed(nn.Module):
    """An Inception block of separable kernels; each branch has a gate where there are any."""

    def __init__(
        self,
        in_channels: int,
        branches: Sequence[int],
        unit: Callable[..., PlainUnit3d],
        gating: bool,
    ) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = branches
        self.b0 = unit(in_channels, c0)
        self.b1a = unit(in_channels, c1a)
        self.b1b = Separable(c1a, c1b, unit, gating=gating)
        self.b2a = unit(in_channels, c2a)
        self.b2b = Separable(c2a, c2b, unit, gating=gating)
        self.b3a = nn.MaxPool3d(3, stride=1, padding=1)
        self.b3b = unit(in_channels, c3)
        self.g0 = Gate(c0) if gating else nn.Identity()
        self.g3 = Gate(c3) if gating else nn.Identity()
        self.out_channels = c0 + c1b + c2b + c3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, last = self.g0(self.b0(x)), self.g3(self.b3b(self.b3a(x)))
        return torch.cat([first, self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), last], dim=1)


class CellStem(nn.Module):
    """HowTo100M's stem: cells of 2x2x2 pixels are channels, under a kernel of 2x4x4 cells."""

    def __init__(
        self, in_channels: int, out_channels: int, unit: Callable[..., PlainUnit3d]
    ) -> None:
        super().__init__()
        self.unit = unit(8 * in_channels, out_channels, (2, 4, 4), (1, 1, 1), (1, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, t, h, w = x.shape
        x = x.reshape(n, c, t // 2, 2, h // 2, 2, w // 2, 2).permute(0, 3, 5, 7, 1, 2, 4, 6)
        x = x.reshape(n, 8 * c, t // 2, h // 2, w // 2)
        return self.unit(x)[:, :, 1:, 1:, 1:]


class SeparableI3D(TappedTrunk):
    """Clip ``(N, C, T, H, W)`` -> ``{"c2", "c3", "c4", "c5"}``, as ``InceptionI3D``.

    Args:
        in_channels: 3 for RGB, 2 for flow.
        width, norm, freeze_at, context: as of ``InceptionI3D``.
        variant: one of ``VARIANTS``. T, H and W of a clip are even in "howto100m".
        gating: whether there are gates; None has them where the variant's weights do.
    """

    def __init__(
        self,
        in_channels: int,
        width: float = 1.0,
        norm: str = "BN",
        freeze_at: int = 0,
        context: int = 0,
        variant: str = "torchvision",
        gating: bool | None = None,
    ) -> None:
        super().__init__(in_channels, context)
        if variant not in VARIANTS:
            raise ValueError(f"MODEL.S3D.VARIANT is one of {VARIANTS}, not {variant!r}")
        self.variant = variant
        cells = variant == "howto100m"
        gating = cells if gating is None else gating

        def unit(*sizes: object) -> PlainUnit3d:
            return PlainUnit3d(*sizes, norm=norm, eps=_EPSILON[variant])

        def pool(kernel: Triple, stride: Triple) -> nn.Module:
            if cells:
                return MaxPool3dSame(kernel, stride)
            padding = tuple(k // 2 if k % 2 else 0 for k in kernel)
            # Up: a clip of 4 frames has one slice left, which torchvision cannot halve.
            return nn.MaxPool3d(kernel, stride, padding, ceil_mode=not any(padding))

        stem, c2 = scaled_channels(64, width), scaled_channels(192, width)
        first = CellStem(in_channels, stem, unit) if cells else None
        modules: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": first or Separable(in_channels, stem, unit, 7, 2),
            "MaxPool3d_2a_3x3": pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": unit(stem, stem),
            "Conv3d_2c_3x3": Separable(stem, c2, unit, gating=gating),
            "MaxPool3d_3a_3x3": pool((1, 3, 3), (1, 2, 2)),
        }
        block = partial(SeparableMixed, unit=unit, gating=gating)
        modules |= inception_modules(c2, width, pool, block)
        self.set_modules(modules, c2)
        self.freeze(freeze_at)


_TORCHVISION = ("Conv3d_1a_7x7", "MaxPool3d_2a_3x3", "Conv3d_2b_1x1", "Conv3d_2c_3x3",
                "MaxPool3d_3a_3x3", "Mixed_3b", "Mixed_3c", "MaxPool3d_4a_3x3", "Mixed_4b",
                "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f", "MaxPool3d_5a_2x2", "Mixed_5b",
                "Mixed_5c")  # fmt: skip
_PARTS = {"0": "conv3d", "1": "bn"}
_HALVES = {"0": "spatial", "1": "temporal"}
_BRANCHES = {"branch0": "b0", "branch1.0": "b1a", "branch1.1": "b1b", "branch2.0": "b2a",
             "branch2.1": "b2b", "branch3.1": "b3b"}  # fmt: skip
_PORT = {"conv1": "Conv3d_1a_7x7.unit", "conv_2b": "Conv3d_2b_1x1", "conv_2c": "Conv3d_2c_3x3"}
_ASIDE = ("classifier.", "fc.", "text_module.")


def load_s3d_weights(trunk: SeparableI3D, path: str | Path, prefix: str = "") -> None:
    """Fill the trunk from a file of torchvision's S3D, of the HowTo100M port, or of a model.

    Classifiers and the port's text are left aside.

    Args:
        prefix: of the trunk's names in a model's file; what goes by other names is left aside.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not fit; the message names the keys.
    """
    fill_s3d(trunk, within(read_weights(path), prefix), path)


def fill_s3d(trunk: SeparableI3D, weights: dict[str, torch.Tensor], source: str | Path) -> None:
    """Fill the trunk from weights under either's names or its own; see ``load_s3d_weights``.

    A stem of RGB is made one for flow as I3D's is, see ``stem_for``.
    """
    state = {trunk_name(k): v for k, v in weights.items() if not k.startswith(_ASIDE)}
    fill_trunk(trunk, _for_channels(state, trunk), source, "S3D")


def trunk_name(key: str) -> str:
    """The trunk's name of a weight of torchvision's S3D or of the HowTo100M port."""
    key = key.removeprefix("module.")
    if key.startswith("features."):
        return _from_torchvision(key.removeprefix("features."))
    if re.match(r"(conv1|conv_2[bc]|gating|mixed_\w\w)\.", key):
        return _from_port(key)
    return key


def _from_torchvision(key: str) -> str:
    number, rest = key.split(".", 1)
    name = _TORCHVISION[int(number)] if int(number) < len(_TORCHVISION) else key
    for theirs, ours in _BRANCHES.items():
        if rest.startswith(f"{theirs}."):
            name, rest = f"{name}.{ours}", rest.removeprefix(f"{theirs}.")
            break
    *places, leaf = rest.split(".")
    if len(places) == 2:
        name = f"{name}.{_HALVES.get(places[0], places[0])}"
    return ".".join([name, *(_PARTS.get(p, p) for p in places[-1:]), leaf])


def _from_port(key: str) -> str:
    key = key.replace("gating.fc.", "Conv3d_2c_3x3.gate.fc.", 1) if key[:7] == "gating." else key
    key = re.sub(r"^mixed_", "Mixed_", key)
    key = re.sub(r"\.conv_b(\d)_?([ab]?)\.", r".b\1\2.", key)
    key = re.sub(r"\.gating_b([03])\.", r".g\1.", key)
    key = re.sub(r"\.gating_b([12])\.", r".b\1b.gate.", key)
    for theirs, ours in _PORT.items():
        key = re.sub(rf"^{theirs}\.", f"{ours}.", key)
    separable = re.match(r"(Conv3d_2c_3x3|Mixed_\w\w\.b[12]b)\.", key)
    first = ("spatial.conv3d", "spatial.bn") if separable else ("conv3d", "bn")
    key = key.replace(".conv2.", ".temporal.conv3d.").replace(".bn2.", ".temporal.bn.")
    return key.replace(".conv1.", f".{first[0]}.").replace(".bn1.", f".{first[1]}.")


def _for_channels(state: dict[str, torch.Tensor], trunk: SeparableI3D) -> dict[str, torch.Tensor]:
    """A stem of RGB made one for flow, where that is what is missing."""
    cells = trunk.variant == "howto100m"
    key = f"Conv3d_1a_7x7.{'unit' if cells else 'spatial'}.conv3d.weight"
    wanted = trunk.in_channels
    if key not in state or wanted == 3 or state[key].shape[1] != (24 if cells else 3):
        return state
    kernel = state[key].unflatten(1, (8, 3)) if cells else state[key][:, None]
    made = stem_for(kernel.transpose(1, 2), wanted).transpose(1, 2)
    return state | {key: made.flatten(1, 2).contiguous()}
