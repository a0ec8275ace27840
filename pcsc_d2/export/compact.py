"""What of a model's weights an exported file need not hold, or not in full."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.folding import fold_norms, norm_scale
from pcsc_d2.layers.i3d import Unit3d
from pcsc_d2.layers.i3d_weights import STEM
from pcsc_d2.layers.kinetics_classifier import WEIGHT
from pcsc_d2.model_zoo.kinetics import for_channels, kinetics_digest, needed_kinetics
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.models.info import ModelError
from pcsc_d2.models.packing import Kernel, Packed, rounded, tensor_digest

# Smaller tensors stay as they are: little would be gained.
_LEAST_VALUES = 4096


@dataclass(frozen=True)
class Compact:
    """A model to be exported, and how its tensors are packed.

    Attributes:
        model: a copy whose norms are folded and whose weights are as they will be read.
        packed: of its tensors, by ``tensor_digest``; None packs nothing.
        kinetics: digest of the Kinetics weights that tensors are made from, or empty.
    """

    model: TwoStreamRCNN
    packed: dict[str, Packed] | None = None
    kinetics: str = ""


@torch.no_grad()
def compact(model: TwoStreamRCNN, from_kinetics: bool = False, stored: str = "float32") -> Compact:
    """Prepare a model for export; it stays as it is.

    Args:
        model: in evaluation mode.
        from_kinetics: leaves out the kernels of the trunks that are those of the Kinetics weights.
        stored: how other weights are stored, one of ``packing.STORED``.

    Raises:
        ModelError: it has no such kernels.
        OSError, ValueError: the Kinetics weights cannot be had.
    """
    copy = deepcopy(model)
    if not from_kinetics and stored == "float32":
        fold_norms(copy)
        return Compact(copy)
    weights = needed_kinetics() if from_kinetics else {}
    units = _kinetics_units(copy, weights)
    if from_kinetics and not units:
        raise ModelError("no kernel of its trunks is that of the Kinetics weights: export it whole")
    fold_norms(copy)
    packed = {tensor_digest(_array(unit.conv3d.weight)): how for unit, how in units.items()}
    kernels = {id(unit.conv3d.weight) for unit in units}
    if from_kinetics and copy.kinetics is not None:
        packed[tensor_digest(_array(copy.kinetics.weight))] = Packed(Kernel(WEIGHT, 3))
        kernels.add(id(copy.kinetics.weight))
    # The network of segments is one vector in the file, which stays as it is.
    segments = copy.roi_heads.segments
    kernels |= {id(x) for x in segments.parameters()} if segments is not None else set()
    for values in copy.parameters():
        if values.ndim > 1 and values.numel() >= _LEAST_VALUES and id(values) not in kernels:
            packed |= _rounded(values, stored)
    return Compact(copy, packed, kinetics_digest(weights) if weights else "")


def _kinetics_units(model: TwoStreamRCNN, weights: dict[str, torch.Tensor]) -> dict[Unit3d, Packed]:
    """The trunks' units with a Kinetics kernel, and how what they are folded to is made of it."""
    found = {}
    for stream in STREAMS if weights else ():
        trunk = getattr(model, stream).backbone.bottom_up.trunk
        theirs = for_channels(weights, trunk.in_channels)
        for name, unit in trunk.named_modules():
            if not isinstance(unit, Unit3d):
                continue
            kernel = f"{name}.conv3d.weight"
            # What a stem for flow is made of RGB's by may change; it is small.
            if kernel == STEM and trunk.in_channels != 3:
                continue
            fixed = isinstance(unit.bn, nn.modules.batchnorm._BatchNorm)
            if fixed and torch.equal(unit.conv3d.weight.cpu(), theirs[kernel]):
                scale = _array(norm_scale(unit.bn))
                found[unit] = Packed(Kernel(kernel, trunk.in_channels), scale)
    return found


def _rounded(values: nn.Parameter, stored: str) -> dict[str, Packed]:
    """Round a parameter in place; how it is packed, by its digest then."""
    if stored == "float32":
        return {}
    how = rounded(_array(values), stored)
    made = how.tensor(lambda channels: {}).reshape(values.shape)
    values.copy_(torch.from_numpy(made))
    return {tensor_digest(made): how}


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().contiguous().numpy()
