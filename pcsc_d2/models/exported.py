"""An exported file as a model, of either format; Detectron2 is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.segments import SegmentSizes, from_vector, tube_actionness
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.models.archive import load_archive
from pcsc_d2.models.clip_model import ClipDetections, ClipTensors, boxes_in_frame
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.onnx.file import load_onnx
from pcsc_d2.models.onnx.network import OnnxNetwork
from pcsc_d2.models.onnx.windows import OnnxWindows
from pcsc_d2.runtime import COMPILERS, Engine, EngineError, choose_engine
from pcsc_d2.tubes import Judge

Network = torch.jit.ScriptModule | OnnxNetwork | OnnxWindows


class ExportedModel:
    """A network out of an exported file.

    Args:
        network: takes clips (N, 3, T, h, w) and (N, 2, T, h, w) and gives, of each, boxes in
            pixels of the clip, scores, classes and actionness.
        info: what it is.
        engine: what runs it.

    Attributes:
        judge: what says of whole tubes where actions begin and end; None without such a network.

    Raises:
        ValueError: the weights of that network are of other sizes than the file says.
    """

    def __init__(
        self,
        network: Network,
        info: ModelInfo,
        engine: Engine | None = None,
    ) -> None:
        self.network, self.info = network, info
        self.engine = engine or Engine()
        self.judge = None if info.segments is None else _judge(network, info.segments)

    @torch.inference_mode()
    def __call__(self, clips: Sequence[ClipTensors], size: tuple[int, int]) -> list[ClipDetections]:
        """See ``ClipModel``."""
        rgb, flow = (torch.stack(stream) for stream in zip(*clips))
        return self._in_frame(self.network(rgb, flow), rgb, size)

    def _in_frame(
        self, found: list[tuple[Tensor, ...]], rgb: Tensor, size: tuple[int, int]
    ) -> list[ClipDetections]:
        return [
            ClipDetections(
                boxes_in_frame(boxes, rgb.shape[-2:], size),
                scores.cpu().numpy(),
                classes.cpu().numpy(),
                actionness.cpu().numpy() if self.info.actionness else None,
                more[0].cpu().numpy() if self.info.kinetics and more else None,
                None if self.judge is None else self.features(scores, more).cpu().numpy(),
            )
            # ONNX files, and older ones, have fewer columns.
            for boxes, scores, classes, actionness, *more in found
        ]

    def features(self, scores: Tensor, more: Sequence[Tensor]) -> Tensor:
        """What ``judge`` looks at, (n, D), of the n boxes of an image.

        Args:
            scores: of the boxes.
            more: what the network says behind actionness.

        Raises:
            ModelError: it is not there, or not what the file says.
        """
        width = len(STREAMS) * self.info.segments.channels
        if len(more) < 2 or more[1].shape != (len(scores), width) or not more[1].isfinite().all():
            raise ModelError(f"the model gives no {width} finite features of segments for each box")
        return more[1]


class DenseExportedModel(ExportedModel):
    """The same, with the key frames of a window sharing the trunks' work.

    Args:
        network, info: see ``ExportedModel``.
        shared: parts of the trunk that run once for the window.
        step: frames between the clips that its other levels are run for.
        engine: what runs it.
    """

    def __init__(
        self,
        network: torch.jit.ScriptModule | OnnxWindows,
        info: ModelInfo,
        shared: int,
        step: int,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(network, info, engine)
        self._shared, self._step = shared, step

    @torch.inference_mode()
    def detect_window(
        self, rgb: Tensor, flow: Tensor, key_frames: Sequence[int], size: tuple[int, int]
    ) -> list[ClipDetections]:
        """See ``pcsc_d2.models.clip_model.detect_window``."""
        found = self.network.window(rgb, flow, list(key_frames), self._shared, self._step)
        return self._in_frame(found, rgb, size)


def _judge(network: Network, sizes: SegmentSizes) -> Judge:
    values = getattr(network, "segments", None)
    if not isinstance(values, Tensor):
        raise ValueError("its metadata tells of segments, and it holds none; export it again")
    return partial(tube_actionness, from_vector(sizes, values))


def load_exported(
    path: Path,
    device: str | torch.device | None,
    dense: Sharing | None,
    engine: str | None = None,
    precision: str = "float32",
) -> ExportedModel:
    """Load a file that ``pcsc export`` wrote; its name ends in .onnx if it is an ONNX file.

    Args:
        device: None takes the GPU where there is one and the file was made for it.
        engine, precision: see ``choose_engine``; None is torch for a ``.pt`` file, and the fastest
            that is installed for an ONNX file.

    Raises:
        ModelError: not such a file, damaged, made for another device, or its clips cannot share
            what ``dense`` says.
        EngineError: the engine cannot run here, or not this file.
    """
    if path.suffix == ".onnx":
        return _load_onnx(path, device, dense, engine or "auto", precision)
    if engine in COMPILERS:
        raise EngineError(
            f"{path}: a .pt file runs in torch alone; export it as .onnx for {engine}"
        )
    chosen = choose_engine("torch", precision)
    return _as_model(path, *_load_archive(path, device), dense, chosen)


def _as_model(
    path: Path, network: Network, info: ModelInfo, dense: Sharing | None, engine: Engine
) -> ExportedModel:
    try:
        if dense is None:
            return ExportedModel(network, info, engine)
        shared = dense.parts(info.clip_length, info.context)
        return DenseExportedModel(network, info, shared, dense.step, engine)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None


def _load_onnx(
    path: Path,
    device: str | torch.device | None,
    dense: Sharing | None,
    engine: str,
    precision: str,
) -> ExportedModel:
    chosen = choose_engine(engine, precision, device or "cpu", COMPILERS)
    network, info = load_onnx(path, chosen, windows=dense is not None)
    return _as_model(path, network, info, dense, chosen)


def _load_archive(
    path: Path, device: str | torch.device | None
) -> tuple[torch.jit.ScriptModule, ModelInfo]:
    automatic = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    for kind in automatic if device is None else [device]:
        try:
            return load_archive(path, kind)
        except ModelError as error:
            failure = error
    raise failure
