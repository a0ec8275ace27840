"""From a config and its weights to an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from detectron2.config import CfgNode

from pcsc_d2.export.compact import Compact, compact
from pcsc_d2.export.comparison import TOLERANCE, difference
from pcsc_d2.export.network import Network
from pcsc_d2.export.onnx import OnnxShape, to_onnx_network
from pcsc_d2.export.tracing import to_network
from pcsc_d2.model_zoo.kinetics import kinetics_file, needed_kinetics
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.models.archive import load_archive, save_archive
from pcsc_d2.models.describe import describe
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.kinetics import add_classifier
from pcsc_d2.models.onnx.file import load_onnx, save_onnx
from pcsc_d2.models.trained import load_trained, read_config
from pcsc_d2.runtime import choose_engine


def export(
    config: Path,
    options: Sequence[str],
    out: Path,
    note: str = "",
    labels: Sequence[str] | None = None,
    onnx: OnnxShape | None = None,
    from_kinetics: bool = False,
    stored: str = "float32",
) -> str:
    """Write the file, and say what it is in a line or two.

    Args:
        config: a config file.
        options: KEY, VALUE pairs that override it; MODEL.WEIGHTS names the checkpoint.
        out: the file to write.
        note: what the model is, for people.
        labels: class names; None takes them from the metadata of the config's datasets, or, where
            those do not know them, "class 0" and so on (see ``describe``).
        onnx: makes it an ONNX file, with this fixed in it; None makes it a ``.pt`` file.
        from_kinetics, stored: what a ``.pt`` file holds of the weights, see ``compact``.

    Raises:
        ModelError: no such config or weights, labels of another number than the classes, the
            network does not answer as the model does, or no kernel is that of the Kinetics weights.
        OSError, ValueError: the Kinetics weights are needed and cannot be had.
        EngineError: for an ONNX file: ONNX Runtime, with which it is compared, is not installed.
    """
    if onnx is not None:
        choose_engine("onnxruntime")
    # An ONNX file says nothing of devices; on the CPU it is compared.
    cfg = read_config(config, options, None if onnx is None else "cpu")
    model = load_trained(cfg)
    left_out = ""
    if onnx is not None and model.roi_heads.segments is not None:
        left_out = ", without segments, which a .pt file holds: it cuts no tubes"
        model.roi_heads.segments = None
    info = describe(cfg, model, note, labels)
    if onnx is None and (from_kinetics or kinetics_file().is_file()):
        info = replace(info, kinetics=add_classifier(model, needed_kinetics()))
    partial = out.with_name(f"{out.name}.unchecked")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        if onnx is None:
            ready = compact(model, from_kinetics, stored)
            network = _write_archive(ready, info, partial)
            reached = difference(ready.model, network, info)
        else:
            network = _write_onnx(cfg, model, info, onnx, partial)
            reached = difference(model, network, info, onnx.size)
        if reached > TOLERANCE:
            raise ModelError(f"{out}: not written: it would answer {reached:.1e} off the model")
        partial.replace(out)
    except OSError as error:
        # What the user asked for is named, not where it is made.
        if error.filename is not None and Path(error.filename) == partial:
            error.filename = str(out)
        raise
    finally:
        partial.unlink(missing_ok=True)
    megabytes = out.stat().st_size / 1e6
    told = f"{out}: {megabytes:.1f} MB, {len(info.labels)} classes, {reached:.1e} off the model"
    told += left_out
    return told if stored == "float32" else f"{told} with weights in {stored}"


def _write_archive(ready: Compact, info: ModelInfo, path: Path) -> Network:
    network = to_network(ready.model, info.clip_length)
    save_archive(network, info, path, ready.packed, ready.kinetics)
    return load_archive(path, info.device)[0]


def _write_onnx(
    cfg: CfgNode, model: TwoStreamRCNN, info: ModelInfo, shape: OnnxShape, path: Path
) -> Network:
    topk = cfg.TEST.DETECTIONS_PER_IMAGE
    save_onnx(to_onnx_network(model, info.clip_length, topk, shape), info, path)
    return load_onnx(path, choose_engine("onnxruntime"))[0]
