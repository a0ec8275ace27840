"""The exported ONNX file: standard operators, with a note about what it holds.

Inputs: ``rgb`` uint8 (N, 3, T, h, w), RGB; ``flow`` float32 (N, 2, T, h, w) in pixels. Outputs, of
each clip's key frame, best first and padded to K: ``boxes`` float32 (N, K, 4) x1 y1 x2 y2 in pixels
of the clip; ``scores`` float32 (N, K); ``classes`` int64 (N, K), -1 behind the last;
``actionness`` float32 (N, K), zeros of a model without that head; ``count`` int64 (N,).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from pcsc_d2.models.archive import METADATA
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import from_json, to_json
from pcsc_d2.models.onnx_clips import takes_one_clip, without_loop
from pcsc_d2.runtime import Engine, EngineError
from pcsc_d2.runtime.graphs import Run, compile_graph
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line

OUTPUTS = ("boxes", "scores", "classes", "actionness", "count")
Detected = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class OnnxNetwork:
    """Answers as a network out of a ``.pt`` file does, clip by clip.

    Args:
        run: a compiled graph with the inputs and outputs above.
        actionness: whether the model has it.
        one_clip: the graph takes one clip at a time.
    """

    def __init__(self, run: Run, actionness: bool, one_clip: bool) -> None:
        self._run, self._actionness, self._one_clip = run, actionness, one_clip

    def __call__(self, rgb: torch.Tensor, flow: torch.Tensor) -> list[Detected]:
        """See ``pcsc_d2.export.network.ExportedDetector``; there is no Kinetics column."""
        if self._one_clip and len(rgb) > 1:
            return [found for pair in zip(rgb.split(1), flow.split(1)) for found in self(*pair)]
        inputs = {"rgb": rgb.contiguous().numpy(), "flow": flow.contiguous().numpy()}
        *columns, counts = self._run(inputs)
        return [self._found(columns, i, int(n)) for i, n in enumerate(counts)]

    def _found(self, columns: list[np.ndarray], clip: int, count: int) -> Detected:
        found = [torch.from_numpy(np.array(column[clip, :count])) for column in columns]
        if not self._actionness:
            found[-1] = found[-1][:0]
        return tuple(found)


def save_onnx(graph: bytes, info: ModelInfo, path: str | os.PathLike[str]) -> None:
    """Write a graph from ``export.onnx.to_onnx_network`` with what it is, atomically."""
    import onnx

    model = onnx.load_from_string(graph)
    model.producer_name = "pcsc_d2"
    model.doc_string = info.note
    onnx.helper.set_model_props(model, {METADATA: to_json(info)})
    onnx.checker.check_model(model)
    with atomic_write(Path(path)) as file:
        file.write(model.SerializeToString())


def load_onnx(path: Path, engine: Engine) -> tuple[OnnxNetwork, ModelInfo]:
    """The network and what it is.

    Raises:
        ModelError: not an ONNX file that ``pcsc export`` wrote, damaged, or the engine cannot run
            it.
    """
    import onnx

    try:
        model = onnx.load_from_string(path.read_bytes())
    except Exception as error:  # protobuf's, of a class that depends on its version
        raise ModelError(f"{path}: no ONNX file, or damaged ({one_line(error)})") from None
    about = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA)
    if about is None:
        raise ModelError(f"{path}: not an ONNX file that pcsc export wrote")
    if any(each.external_data for each in model.graph.initializer):
        raise ModelError(f"{path}: asks for other files, which none from pcsc export does")
    try:
        info = from_json(about)
        if engine.name == "openvino" and not takes_one_clip(model):
            without_loop(model)  # which OpenVINO 2026.4 cannot read
        run = compile_graph(model.SerializeToString(), engine)
    except (EngineError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from None
    return OnnxNetwork(run, info.actionness, takes_one_clip(model)), info
