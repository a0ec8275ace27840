"""The exported ONNX file: standard operators, with a note about what it holds.

Inputs: ``rgb`` uint8 (N, 3, T, h, w), RGB; ``flow`` float32 (N, 2, T, h, w) in pixels. Outputs, of
each clip's key frame, best first and padded to K: ``boxes`` float32 (N, K, 4) x1 y1 x2 y2 in pixels
of the clip; ``scores`` float32 (N, K); ``classes`` int64 (N, K), -1 behind the last;
``actionness`` float32 (N, K), zeros of a model without that head; ``count`` int64 (N,).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pcsc_d2.models.archive import METADATA
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import from_json, to_json
from pcsc_d2.models.onnx.admission import check_graph, check_size
from pcsc_d2.models.onnx.clips import takes_one_clip, without_loop
from pcsc_d2.models.onnx.network import OUTPUTS, OnnxNetwork
from pcsc_d2.models.onnx.windows import OnnxWindows, compile_windows
from pcsc_d2.models.trial import remember_graph, require_harmless_graph
from pcsc_d2.runtime import Engine
from pcsc_d2.runtime.graphs import compile_graph
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.trust import UntrustedError

if TYPE_CHECKING:
    from onnx import ModelProto

# Pixels of the clip that a graph is tried on, at most.
_SIDE = 64


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
    remember_graph(path)


def load_onnx(
    path: Path, engine: Engine, windows: bool = False
) -> tuple[OnnxNetwork | OnnxWindows, ModelInfo]:
    """The network and what it is.

    Args:
        windows: it is to take windows, too.

    Raises:
        ModelError: not an ONNX file that ``pcsc export`` wrote, damaged, the engine cannot run it,
            or crashes on it.
    """
    try:
        model, info = _admitted(path)
        require_harmless_graph(path, engine, windows)
        return _network(model, info, engine, windows), info
    except ModelError:
        raise
    except UntrustedError as error:
        raise ModelError(str(error)) from None
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:  # a damaged or hostile file raises nearly anything
        reason = one_line(error) or type(error).__name__
        raise ModelError(f"{path}: not an ONNX file that pcsc export wrote ({reason})") from None


def try_onnx(path: str | os.PathLike[str], engine: Engine, windows: bool) -> None:
    """Compile a file's graph and run it on a clip, for whoever looks whether that ends well."""
    model, info = _admitted(Path(path))
    network = _network(model, info, engine, windows)
    side = min(info.min_size or _SIDE, _SIDE)
    rgb = torch.zeros(1, 3, info.clip_length, side, side, dtype=torch.uint8)
    network(rgb, torch.zeros(1, 2, info.clip_length, side, side))


def _admitted(path: Path) -> tuple[ModelProto, ModelInfo]:
    """What is in a file, looked through and given to no engine yet."""
    model = _read(path)
    about = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA)
    if about is None:
        raise ModelError(f"{path}: not an ONNX file that pcsc export wrote")
    check_graph(path, model, path.stat().st_size)
    _check_ends(model)
    return model, from_json(about)


def _network(
    model: ModelProto, info: ModelInfo, engine: Engine, windows: bool
) -> OnnxNetwork | OnnxWindows:
    return (compile_windows if windows else _compile)(model, info, engine)


def _compile(model: ModelProto, info: ModelInfo, engine: Engine) -> OnnxNetwork:
    if engine.name == "openvino" and not takes_one_clip(model):
        without_loop(model)  # which OpenVINO 2026.4 cannot read
    run = compile_graph(model.SerializeToString(), engine)
    return OnnxNetwork(run, info.actionness, takes_one_clip(model))


def _check_ends(model: ModelProto) -> None:
    inputs = [each.name for each in model.graph.input]
    outputs = [each.name for each in model.graph.output]
    if inputs not in (["rgb"], ["rgb", "flow"]) or outputs != list(OUTPUTS):
        raise ValueError("its inputs or outputs are not those of pcsc export")


def _read(path: Path) -> ModelProto:
    import onnx

    check_size(path)
    try:
        return onnx.load_from_string(path.read_bytes())
    except Exception as error:  # protobuf's, of a class that depends on its version
        raise ModelError(f"{path}: no ONNX file, or damaged ({one_line(error)})") from None
