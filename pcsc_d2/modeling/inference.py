"""A loaded model made faster where it is not trained any more; its answers stay the same."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode

from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.modeling.stream import STREAMS
from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN
from pcsc_d2.runtime import Engine, choose_engine
from pcsc_d2.runtime.trunk import compile_trunk

# Of MODEL.I3D.WIDTH. At 0.25 and 96x128 OpenVINO saves 46 ms of 115 a key frame, and compiling
# takes 2 s once and 0.6 s afterwards; narrower trunks are left to torch.
LEAST_WIDTH = 0.25


def engine_for(cfg: CfgNode, name: str, precision: str = "float32") -> Engine:
    """The engine of a name for the trunks of a config.

    Args:
        cfg: says how wide the trunks are, and the device.
        name: see ``choose_engine``; ``"auto"`` leaves small trunks to torch.
        precision: see ``choose_engine``.

    Raises:
        EngineError: see ``choose_engine``.
    """
    small = cfg.MODEL.I3D.WIDTH < LEAST_WIDTH and precision == "float32"
    chosen = "torch" if name == "auto" and small else name
    return choose_engine(chosen, precision, cfg.MODEL.DEVICE)


def prepare_for_inference(model: TwoStreamRCNN, clip_length: int, engine: Engine) -> None:
    """Fold norms into convolutions and, on an engine, compile the trunks, in place.

    The model can neither be trained nor saved afterwards.

    Args:
        model: in evaluation mode.
        clip_length: T.
        engine: what runs the trunks; pyramids, RPNs and heads stay in torch.
    """
    fold_norms(model)
    for name in STREAMS[: 1 if model.one_trunk else 2]:
        trunk = getattr(model, name).backbone.bottom_up.trunk
        if engine.name != "torch":
            compile_trunk(trunk, engine, clip_length)
        elif model.device.type == "cpu":
            # Clips are turned into this layout once, at the stem.
            trunk.to(memory_format=torch.channels_last_3d)
