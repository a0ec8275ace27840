"""Reading the I3D weights of the two public PyTorch ports (named after their authors).

``piergiaj`` names a convolution ``Mixed_3b.b1a.conv3d.weight``; ``hassony2`` names the same one
``mixed_3b.branch_1.0.conv3d.weight`` and its norm ``batch3d``. The trunk uses the former's names.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from pcsc_d2.layers.i3d import InceptionI3D, TappedTrunk
from pcsc_d2.utils.weights import load_tensors

logger = logging.getLogger(__name__)

_BRANCHES = {
    "branch_0": "b0",
    "branch_1.0": "b1a",
    "branch_1.1": "b1b",
    "branch_2.0": "b2a",
    "branch_2.1": "b2b",
    "branch_3.1": "b3b",
}
STEM = "Conv3d_1a_7x7.conv3d.weight"
_HEAD = ("logits.", "conv3d_0c_1x1.")
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def _trunk_key(key: str) -> str:
    """The trunk's name of a weight that either port calls ``key``."""
    key = key.removeprefix("module.").replace(".batch3d.", ".bn.")
    key = re.sub(r"\.(branch_\d(?:\.\d)?)\.", lambda m: f".{_BRANCHES.get(m[1], m[1])}.", key)
    return key[0].upper() + key[1:] if key[:1] in "cm" and not key.startswith(_HEAD) else key


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, read without running any code that the file may hold.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a PyTorch state dict.
    """
    state = load_tensors(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"{path}: holds no state dict of tensors")
    return state


def load_i3d_weights(trunk: InceptionI3D, path: str | Path, prefix: str = "") -> None:
    """Fill the trunk from a file of either public port (RGB or flow), or of a model that holds it.

    The ports' classifier is left aside, and ``num_batches_tracked`` may be absent.

    Args:
        prefix: of the trunk's names in a model's file; what goes by other names is left aside.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not fit; the message names the keys.
    """
    state = within(read_weights(path), prefix)
    fill_trunk(trunk, {_trunk_key(k): v for k, v in state.items()}, path)


def within(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """What is under a prefix, without it; everything where nothing is."""
    found = {k.removeprefix(prefix): v for k, v in state.items() if prefix and k.startswith(prefix)}
    return found or dict(state)


def fill_trunk(
    trunk: TappedTrunk,
    weights: Mapping[str, torch.Tensor],
    source: str | Path,
    network: str = "I3D",
) -> None:
    """Fill the trunk from weights under its own names; a classifier is left aside.

    Args:
        source: where they are from, for messages.
        network: what the trunk is, for messages.

    Raises:
        ValueError: they do not fit; the message names the keys.
    """
    state = {k: v for k, v in weights.items() if not k.startswith(_HEAD)}
    own = trunk.state_dict()
    optional = {k for k in own if k.endswith("num_batches_tracked")}
    problems = {
        "missing": [k for k in own if k not in state and k not in optional],
        "unexpected": [k for k in state if k not in own and not k.endswith("num_batches_tracked")],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} for {tuple(v.shape)}"
            for k, v in own.items()
            if k in state and state[k].shape != v.shape
        ],
    }
    if any(problems.values()):
        raise ValueError(f"{source}: does not fit this {network} trunk: {_summary(problems)}")
    trunk.load_state_dict({k: state.get(k, v) for k, v in own.items()})
    logger.info("loaded %d %s weights from %s", len(state), network, source)


def inflate_stem(weights: Mapping[str, torch.Tensor], channels: int) -> dict[str, torch.Tensor]:
    """Weights for another kind of input: see ``stem_for``.

    What comes out of such a stem is of another size: the norms' statistics are to be estimated
    anew.
    """
    return {**weights, STEM: stem_for(weights[STEM], channels)}


def stem_for(kernels: torch.Tensor, channels: int) -> torch.Tensor:
    """First kernels for flow, of those for RGB.

    Cross-modality initialisation (Wang et al. 2016) gives u and v the mean over RGB, and such a
    stem sees no more of flow than u + v. Here each kernel looks along a direction of its own, cos a
    and sin a times the mean, with angles that are spread evenly over the kernels.

    Args:
        kernels: (N, 3, ...).
        channels: what comes back has, (N, channels, ...); other than 2, each gets the mean.
    """
    mean = kernels.mean(dim=1, keepdim=True)
    if channels != 2:
        return mean.repeat_interleave(channels, dim=1)
    # In float64, so that all machines round to the same.
    angles = torch.arange(len(kernels), dtype=torch.float64) * _GOLDEN_ANGLE
    directions = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], dim=1)
    return mean * directions.to(mean).view(-1, 2, *[1] * (kernels.ndim - 2))


def _summary(problems: dict[str, list[str]], shown: int = 4) -> str:
    parts = []
    for kind, keys in problems.items():
        if keys:
            more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
            parts.append(f"{len(keys)} {kind} ({', '.join(keys[:shown])}{more})")
    return "; ".join(parts)
