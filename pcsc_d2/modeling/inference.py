"""A loaded model made faster where it is not trained any more; its answers stay the same."""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode
from detectron2.layers import ROIAlign
from detectron2.modeling import FPN
from detectron2.modeling.poolers import (
    ROIPooler,
    assign_boxes_to_levels,
    convert_boxes_to_pooler_format,
)
from detectron2.structures import Boxes
from torch import nn

from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import MaxPool3dSame, Mixed, TappedTrunk
from pcsc_d2.layers.light_mixed import LightMixed, is_folded
from pcsc_d2.layers.max_pooling import AxisMaxPool3d
from pcsc_d2.layers.pointwise import use_products
from pcsc_d2.layers.roi_sums import ROISums
from pcsc_d2.layers.winograd import use_winograd
from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN
from pcsc_d2.runtime import Engine, EngineError, choose_engine
from pcsc_d2.runtime.memory import keep_freed_memory
from pcsc_d2.runtime.trunk import compile_trunk

logger = logging.getLogger(__name__)

# Of MODEL.I3D.WIDTH. At 0.25 and 96x128 OpenVINO saves less than 50 ms a key frame, and compiling
# takes 2 s once and 0.6 s afterwards: short videos would take longer. Narrower trunks than this are
# left to torch.
LEAST_WIDTH = 0.5
# Trunks whose time goes into convolutions of 3x3x3: torch, with a quarter of their multiplications,
# is faster than engines that do them all.
_WINOGRAD_BACKBONES = ("build_i3d_fpn_backbone",)


def engine_for(cfg: CfgNode, name: str, precision: str = "float32") -> Engine:
    """The engine of a name for the trunks of a config.

    Args:
        cfg: says how wide the trunks are, and the device.
        name: see ``choose_engine``; ``"auto"`` leaves I3D's trunks and small ones to torch.
        precision: see ``choose_engine``.

    Raises:
        EngineError: see ``choose_engine``.
    """
    small = cfg.MODEL.I3D.WIDTH < LEAST_WIDTH
    fastest = small or cfg.MODEL.BACKBONE.NAME in _WINOGRAD_BACKBONES
    chosen = "torch" if name == "auto" and fastest and precision == "float32" else name
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
        if _is_aligned(model.roi_heads.box_pooler):
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


class LightPooler(nn.Module):
    """In place of a ``ROIPooler`` of aligned ROIAligns; what it gives has channels last.

    Args:
        pooler: see ``_is_aligned``.
    """

    def __init__(self, pooler: ROIPooler) -> None:
        super().__init__()
        self.level_poolers = nn.ModuleList(
            ROISums(align.output_size, align.spatial_scale, align.sampling_ratio)
            for align in pooler.level_poolers
        )
        self.output_size = pooler.output_size
        canonical = (pooler.canonical_box_size, pooler.canonical_level)
        self._levels = (pooler.min_level, pooler.max_level, *canonical)

    def forward(self, x: list[torch.Tensor], box_lists: list[Boxes]) -> torch.Tensor:
        """As of ``ROIPooler``: maps (N, C, H_l, W_l) and N times boxes -> (R, C, size, size)."""
        boxes = convert_boxes_to_pooler_format(box_lists)
        if len(self.level_poolers) == 1:
            return self.level_poolers[0](x[0], boxes)
        levels = assign_boxes_to_levels(box_lists, *self._levels)
        found = x[0].new_empty(len(boxes), *self.output_size, x[0].shape[1])
        for level, sums in enumerate(self.level_poolers):
            rows = (levels == level).nonzero()[:, 0]
            found[rows] = sums(x[level], boxes[rows]).permute(0, 2, 3, 1)
        return found.permute(0, 3, 1, 2)


def _is_aligned(pooler: nn.Module) -> bool:
    """Whether a module is such a pooler."""
    if not isinstance(pooler, ROIPooler):
        return False
    return all(isinstance(each, ROIAlign) and each.aligned for each in pooler.level_poolers)
