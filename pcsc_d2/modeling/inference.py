"""A loaded model made faster where it is not trained any more; its answers stay the same."""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode
from detectron2.modeling import FPN
from torch import nn

from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import MaxPool3dSame, Mixed, TappedTrunk
from pcsc_d2.layers.light_mixed import LightMixed, is_folded
from pcsc_d2.layers.max_pooling import AxisMaxPool3d
from pcsc_d2.layers.pointwise import use_products
from pcsc_d2.layers.winograd import use_winograd
from pcsc_d2.modeling.light_pooler import LightPooler, is_aligned
from pcsc_d2.modeling.stream import STREAMS
from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN
from pcsc_d2.runtime import Engine, EngineError, choose_engine
from pcsc_d2.runtime.memory import keep_freed_memory
from pcsc_d2.runtime.trunk import compile_trunk

logger = logging.getLogger(__name__)

# Of MODEL.I3D.WIDTH. At 0.25 and 96x128 OpenVINO saves less than 50 ms a key frame, and compiling
# takes 2 s once and 0.6 s afterwards: short videos would take longer. Narrower trunks than this are
# left to torch.
LEAST_WIDTH = 0.5


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


def prepare_for_inference(
    model: TwoStreamRCNN, clip_length: int, engine: Engine, required: bool = True
) -> Engine:
    """Fold norms into convolutions and, on an engine, compile the trunks, in place.

    On a CPU pyramids, RPNs and heads get lighter layers of the same answers. The model can neither
    be trained nor saved afterwards.

    Args:
        model: in evaluation mode.
        clip_length: T.
        engine: what runs the trunks; pyramids, RPNs and heads stay in torch.
        required: whether it is an error if the engine cannot; torch takes its place otherwise.

    Returns:
        What runs them.

    Raises:
        EngineError: the engine cannot run a trunk.
    """
    fold_norms(model)
    own = model.trunk_streams
    trunks = [getattr(model, name).backbone.bottom_up.trunk for name in own]
    engines = [prepare_trunk(trunk, clip_length, engine, required) for trunk in trunks]
    if model.device.type == "cpu":
        keep_freed_memory()
        for name in STREAMS:
            stream = getattr(model, name)
            _lighten_pyramid(stream.backbone.top_down)
            _lighten(stream.proposal_generator)
        for messages in (model.image_messages, model.roi_heads.roi_messages):
            if messages is not None:
                use_products(messages)
        if is_aligned(model.roi_heads.box_pooler):
            model.roi_heads.box_pooler = LightPooler(model.roi_heads.box_pooler)
    return engine if set(engines) == {engine} else Engine()


def prepare_trunk(
    trunk: nn.Module, clip_length: int, engine: Engine, required: bool = True
) -> Engine:
    """``prepare_for_inference`` for one trunk; torch runs those that are neither I3D nor S3D."""
    fold_norms(trunk)
    if not isinstance(trunk, TappedTrunk):
        return Engine()
    if engine.name != "torch":
        try:
            compile_trunk(trunk, engine, clip_length)
        except EngineError as error:
            if required:
                raise
            logger.warning("%s; torch runs the trunk", error)
        else:
            return engine
    if next(trunk.parameters()).device.type == "cpu":
        _lighten_trunk(trunk)
    return Engine()


def _lighten_trunk(trunk: TappedTrunk) -> None:
    for name, module in list(trunk.named_children()):
        if is_folded(module):
            setattr(trunk, name, LightMixed(module))
        elif isinstance(module, Mixed):
            module.b3a = AxisMaxPool3d()
        elif isinstance(module, MaxPool3dSame):
            setattr(trunk, name, AxisMaxPool3d(module.kernel, module.stride))
    use_winograd(trunk)
    use_products(trunk)
    # Clips are turned into this layout once, at the stem.
    trunk.to(memory_format=torch.channels_last_3d)


def _lighten(network: nn.Module) -> None:
    use_winograd(network)
    use_products(network)
    network.to(memory_format=torch.channels_last)


def _lighten_pyramid(pyramid: FPN) -> None:
    _lighten(pyramid)
    # It keeps its convolutions in lists besides, the coarsest first.
    names = [name for name, _ in pyramid.named_children()][::-1]
    for kind in ("lateral", "output"):
        convs = [getattr(pyramid, name) for name in names if name.startswith(f"fpn_{kind}")]
        setattr(pyramid, f"{kind}_convs", convs)
