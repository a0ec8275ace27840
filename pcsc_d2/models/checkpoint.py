"""A Detectron2 config and its weights as a model; Detectron2 is imported from here alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.models.clip_model import ClipDetections, ClipTensors, boxes_in_frame
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.kinetics import add_classifier, weights_for_names
from pcsc_d2.runtime import COMPILERS, Engine, choose_engine
from pcsc_d2.tubes import Judge


class CheckpointModel:
    """A network built by Detectron2.

    Args:
        network: a ``TwoStreamRCNN`` in inference mode.
        info: what it is.
        engine: what runs its trunks.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, engine: Engine | None = None) -> None:
        self.network, self.info = network, info
        self.engine = engine or Engine()

    @property
    def judge(self) -> Judge | None:
        """What says of whole tubes where actions begin and end; None without such a network."""
        from pcsc_d2.modeling.segments import judge_of

        return judge_of(self.network)

    def parts(self) -> dict[str, list[nn.Module]]:
        """The network's modules by the part of its work that they do."""
        streams = (self.network.rgb, self.network.flow)
        messages = self.network.image_messages
        return {
            "trunks": [x for s in streams for x in s.backbone.bottom_up.trunk.children()],
            "pyramids": [
                *(s.backbone.top_down for s in streams),
                *(messages.values() if messages is not None else ()),
            ],
            "RPNs": [s.proposal_generator for s in streams],
            "heads": [self.network.roi_heads],
        }

    @torch.inference_mode()
    def __call__(self, clips: Sequence[ClipTensors], size: tuple[int, int]) -> list[ClipDetections]:
        """See ``ClipModel``."""
        inputs = [
            {"rgb": rgb, "flow": flow, "height": size[0], "width": size[1]} for rgb, flow in clips
        ]
        return [_to_arrays(output["instances"], size) for output in self.network(inputs)]


def _to_arrays(instances: object, size: tuple[int, int]) -> ClipDetections:
    def array(values: Tensor) -> object:
        return values.cpu().numpy()

    return ClipDetections(
        boxes_in_frame(instances.pred_boxes.tensor, size, size),
        array(instances.scores),
        array(instances.pred_classes),
        array(instances.actionness) if instances.has("actionness") else None,
        array(instances.kinetics) if instances.has("kinetics") else None,
        array(instances.tube_features) if instances.has("tube_features") else None,
    )


class DenseCheckpointModel(CheckpointModel):
    """The same, with the key frames of a window sharing the trunks' work."""

    def __init__(
        self, network: nn.Module, info: ModelInfo, sharing: Sharing, engine: Engine | None = None
    ) -> None:
        from pcsc_d2.modeling.dense import DenseDetector

        super().__init__(network, info, engine)
        self._dense = DenseDetector(network, info.clip_length, sharing)

    @torch.inference_mode()
    def detect_window(
        self, rgb: Tensor, flow: Tensor, key_frames: Sequence[int], size: tuple[int, int]
    ) -> list[ClipDetections]:
        """See ``pcsc_d2.models.clip_model.detect_window``."""
        found = self._dense.detect_window(rgb, flow, key_frames, size)
        return [_to_arrays(each["instances"], size) for each in found]


def load_checkpoint(
    config: Path,
    weights: Path,
    device: str | torch.device | None,
    dense: Sharing | None,
    engine: str = "auto",
    precision: str = "float32",
    kinetics: bool = False,
) -> CheckpointModel:
    """Build the network of a config and fill it.

    Args:
        device: None takes a GPU where there is one.
        engine, precision: see ``engine_for``.
        kinetics: see ``load_model``.

    Raises:
        ModelError: Detectron2 is not installed, a file is absent or damaged, they do not fit, or
            clips cannot share what ``dense`` says.
        EngineError: the engine cannot run here.
    """
    if find_spec("detectron2") is None:
        reason = "a checkpoint needs Detectron2, which is not installed; export it where it is"
        raise ModelError(f"{weights}: {reason} (python -m pcsc_d2.export)")
    from pcsc_d2.modeling.inference import engine_for, prepare_for_inference
    from pcsc_d2.models.describe import describe
    from pcsc_d2.models.trained import load_trained, read_config

    if device is None and engine in COMPILERS:
        device = "cpu"
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    choose_engine(engine, precision, device)  # before anything is read
    cfg = read_config(config, ["MODEL.WEIGHTS", str(weights)], device)
    chosen = engine_for(cfg, engine, precision)
    network = load_trained(cfg)
    info = describe(cfg, network, f"{weights} with {config.name}")
    if kinetics:
        info = replace(info, kinetics=add_classifier(network, weights_for_names()))
    required = engine != "auto"
    chosen = prepare_for_inference(network, info.clip_length, chosen, required)
    if dense is None:
        return CheckpointModel(network, info, chosen)
    try:
        return DenseCheckpointModel(network, info, dense, chosen)
    except ValueError as error:
        raise ModelError(f"{weights}: {error}") from None
