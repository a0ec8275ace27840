"""A trunk whose parts run on an engine; everything around them stays in torch."""

from __future__ import annotations

import logging
from contextlib import suppress

import torch
from torch import nn

from pcsc_d2.layers.i3d import TAPS, InceptionI3D
from pcsc_d2.layers.window_trunk import trunk_parts
from pcsc_d2.runtime.choice import Engine
from pcsc_d2.runtime.graphs import Run, compile_graph, digest, to_onnx
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.files import atomic_write

logger = logging.getLogger(__name__)

# Pixels of the example that a part is traced with, a multiple of every stride; others fit too.
_SIDE = 64
_AXES = {0: "clips", 2: "frames", 3: "height", 4: "width"}


class CompiledPart(nn.Module):
    """A part of a trunk, run by an engine: (N, C, T, H, W) in and out, on the CPU.

    Args:
        run: a graph of one input and one output.
        name: of the input.
    """

    def __init__(self, run: Run, name: str = "x") -> None:
        super().__init__()
        self._run, self._name = run, name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._run({self._name: x.detach().contiguous().numpy()})[0])


def compile_trunk(trunk: InceptionI3D, engine: Engine, clip_length: int) -> None:
    """Replace the trunk's modules by its parts behind each tap, compiled, in place.

    Clips one by one and windows (``WindowTrunk``) run through the same four graphs.

    Args:
        trunk: in evaluation mode, on the CPU; it cannot be trained afterwards.
        engine: not torch.
        clip_length: T.
    """
    x = torch.zeros(1, trunk.in_channels, clip_length, _SIDE, _SIDE)
    compiled = {}
    for tap, part in zip(TAPS, trunk_parts(trunk)):
        compiled[tap] = CompiledPart(compile_graph(_graph(part, x), engine))
        with torch.no_grad():
            x = part(x)
    for name, _ in list(trunk.named_children()):
        delattr(trunk, name)
    for tap, part in compiled.items():
        trunk.add_module(tap, part)


def _graph(part: nn.Module, x: torch.Tensor) -> bytes:
    """The part as an ONNX file's bytes, kept in the user's cache folder."""
    kept = cache_folder("trunks") / f"{digest(part, x.shape)}.onnx"
    with suppress(OSError):
        return kept.read_bytes()
    made = to_onnx(part, {"x": x}, ["y"], {"x": _AXES, "y": _AXES})
    try:
        with atomic_write(kept) as file:
            file.write(made)
    except OSError as error:
        logger.info("%s: not kept for the next time (%s)", kept, error)
    return made
