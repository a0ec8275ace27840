"""Dense mode for an ONNX file, by the pieces of its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pcsc_d2.layers.window_trunk import LEVELS, WindowTrunk
from pcsc_d2.models.info import ModelInfo
from pcsc_d2.models.onnx.network import Detected, detected
from pcsc_d2.models.onnx.pieces import SIZE, Pieces, pooled
from pcsc_d2.runtime import Engine
from pcsc_d2.runtime.graphs import Run, compile_graph
from pcsc_d2.runtime.trunk import CompiledPart

if TYPE_CHECKING:
    from onnx import ModelProto


class OnnxWindows:
    """Answers as a network out of a ``.pt`` file does, for clips and for windows.

    Args:
        trunks: by stream, of those with one of their own; raw frames in, maps out.
        heads: what is behind them, for one image.
        info: what the model is.
        sources: what each stream is fed, ``"rgb"`` or ``"flow"``.
    """

    def __init__(
        self,
        trunks: dict[str, WindowTrunk],
        heads: Run,
        info: ModelInfo,
        sources: dict[str, str],
    ) -> None:
        self._trunks, self._heads, self._info, self._sources = trunks, heads, info, sources

    def __call__(self, rgb: torch.Tensor, flow: torch.Tensor) -> list[Detected]:
        """See ``pcsc_d2.export.network.ExportedDetector``; there is no Kinetics column."""
        clips = {"rgb": rgb, "flow": flow}
        maps = {s: trunk(clips[self._sources[s]]) for s, trunk in self._trunks.items()}
        return self._detect(maps, rgb.shape[-2:])

    def window(
        self, rgb: torch.Tensor, flow: torch.Tensor, key_frames: list[int], shared: int, step: int
    ) -> list[Detected]:
        """See ``pcsc_d2.export.network.ExportedDetector``."""
        starts = [k - self._info.clip_length // 2 for k in key_frames]
        frames = {"rgb": rgb[None], "flow": flow[None]}
        maps = {
            s: trunk.window(frames[self._sources[s]], starts, shared, step)
            for s, trunk in self._trunks.items()
        }
        return self._detect(maps, rgb.shape[-2:])

    def _detect(self, maps: dict[str, list[torch.Tensor]], size: Sequence[int]) -> list[Detected]:
        inputs, found = {SIZE: torch.tensor(size).numpy()}, []
        for i in range(len(maps["rgb"][0])):
            for s, levels in maps.items():
                of_image = {pooled(s, k): x[i : i + 1] for k, x in zip(LEVELS, levels)}
                inputs |= {name: x.contiguous().numpy() for name, x in of_image.items()}
            *columns, count = self._heads(inputs)
            found.append(detected(columns, int(count), self._info.actionness))
        return found


def compile_windows(model: ModelProto, info: ModelInfo, engine: Engine) -> OnnxWindows:
    """The pieces of a file, compiled.

    Args:
        model: of a file; it is changed.
        info: what it is.

    Raises:
        ValueError: the file was made before ``pcsc export`` named what is between its pieces.
        EngineError: the engine cannot run a piece.
    """
    pieces = Pieces(model, info.context)
    trunks = {
        s: WindowTrunk(
            [CompiledPart(compile_graph(part, engine), name) for name, part in pieces.parts(s)],
            info.clip_length,
            info.time_pool,
            info.context,
        )
        for s in pieces.streams
    }
    sources = {s: s if s in pieces.sources else "rgb" for s in pieces.streams}
    return OnnxWindows(trunks, compile_graph(pieces.heads(), engine), info, sources)
