"""Norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import torch
from torch import nn

from pcsc_d2.layers.i3d import Unit3d


@torch.no_grad()
def fold_norms(network: nn.Module) -> int:
    """Fold norms with fixed statistics into the convolutions before them, in place.

    Of all ``Unit3d``, and of convolutions that hold their norm as ``norm``, as Detectron2's do.

    The answers stay the same but for rounding; the network cannot be trained, nor its weights be
    saved, afterwards.

    Args:
        network: in evaluation mode. Group norms, which depend on the input, stay.

    Returns:
        The number of norms folded.
    """
    units = [m for m in network.modules() if isinstance(m, Unit3d)]
    fixed = [unit for unit in units if isinstance(unit.bn, nn.modules.batchnorm._BatchNorm)]
    for unit in fixed:
        _fold(unit)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and _is_fixed(m)]
    for conv in convs:
        _fold_own(conv)
    return len(fixed) + len(convs)


def _is_fixed(conv: nn.Conv2d) -> bool:
    return isinstance(getattr(conv, "norm", None), nn.modules.batchnorm._BatchNorm)


def _fold_own(conv: nn.Conv2d) -> None:
    norm, scale = conv.norm, norm_scale(conv.norm)
    mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    conv.weight = nn.Parameter(conv.weight * scale.view(-1, 1, 1, 1), requires_grad=False)
    conv.bias = nn.Parameter(norm.bias - mean * scale, requires_grad=False)
    conv.norm = None


def norm_scale(norm: nn.modules.batchnorm._BatchNorm) -> torch.Tensor:
    """What a norm with fixed statistics multiplies each channel by, (C,)."""
    return norm.weight * (norm.running_var + norm.eps).rsqrt()


def _fold(unit: Unit3d) -> None:
    conv, norm = unit.conv3d, unit.bn
    scale = norm_scale(norm)
    conv.weight = nn.Parameter(conv.weight * scale.view(-1, 1, 1, 1, 1), requires_grad=False)
    conv.bias = nn.Parameter(norm.bias - norm.running_mean * scale, requires_grad=False)
    unit.bn = nn.Identity()
