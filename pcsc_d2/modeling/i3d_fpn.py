"""I3D with Detectron2's feature pyramid on top, as one registered backbone.

    clip (N, C, T, H, W) -> trunk -> {c2..c5} (N, C_l, T_l, H_l, W_l)
                         -> mean over time -> (N, C_l, H_l, W_l) -> FPN -> {p2..p6}

The trunk and the top-down path can be run apart, so that a model may refine c2..c5 in between
(``backbone.bottom_up(clip)``, then ``backbone.top_down(features)``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import nn

from pcsc_d2.config import uses_cached_features
from pcsc_d2.layers import InceptionI3D, SeparableI3D
from pcsc_d2.layers.i3d import STRIDES, mean_over_time

LEVELS = tuple(STRIDES)


class I3DTrunk(Backbone):
    """The I3D trunk with time pooled: clip ``(N, C, T, H, W)`` -> 2-D maps ``{"c2".."c5"}``.

    Args:
        trunk: the network.
        time_pool: how time is collapsed, "mean" or "middle".
        levels: which maps are handed on.
    """

    def __init__(
        self, trunk: nn.Module, time_pool: str = "mean", levels: Sequence[str] = LEVELS
    ) -> None:
        super().__init__()
        if not levels or tuple(levels) != LEVELS[-len(levels) :]:
            raise ValueError(
                f"MODEL.FPN.IN_FEATURES names levels up to c5, such as c3, c4, c5, not {levels}"
            )
        self.levels = tuple(levels)
        if time_pool not in ("mean", "middle"):
            raise ValueError(f"MODEL.I3D.TIME_POOL is 'mean' or 'middle', not {time_pool!r}")
        self.trunk = trunk
        self.time_pool = time_pool

    def forward(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.trunk(clip)
        return {level: self.pool(maps[level]) for level in self.levels}

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """Collapse time: ``(N, C, T, H, W)`` -> ``(N, C, H, W)``."""
        return mean_over_time(x) if self.time_pool == "mean" else x[:, :, x.shape[2] // 2]

    def output_shape(self) -> dict[str, ShapeSpec]:
        channels = self.trunk.out_channels
        return {
            level: ShapeSpec(channels=channels[level], stride=STRIDES[level][1])
            for level in self.levels
        }

    @property
    def size_divisibility(self) -> int:
        return 32


class _GivenFeatures(Backbone):
    """Hands on the feature maps it is given, so that Detectron2's FPN runs its top-down path.

    Args:
        shapes: of the maps.
        dropout: share of the maps' channels that are left out in training.
    """

    def __init__(self, shapes: dict[str, ShapeSpec], dropout: float) -> None:
        super().__init__()
        self._shapes = shapes
        self._dropout = dropout

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if not self._dropout or not self.training:
            return features
        return {level: F.dropout2d(x, self._dropout) for level, x in features.items()}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self._shapes


class I3DFPN(Backbone):
    """Clip ``(N, C, T, H, W)`` -> pyramid ``{"p2".."p6"}`` of ``(N, out_channels, H_l, W_l)``.

    H and W have to be multiples of ``size_divisibility``. ``dropout`` is the share of the trunk's
    channels that the pyramid does not see in training.
    """

    def __init__(
        self,
        bottom_up: I3DTrunk,
        out_channels: int,
        norm: str = "",
        fuse: str = "sum",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        shapes = bottom_up.output_shape()
        self.bottom_up = bottom_up
        self.top_down = FPN(
            _GivenFeatures(shapes, dropout),
            list(shapes),
            out_channels,
            norm=norm,
            top_block=LastLevelMaxPool(),
            fuse_type=fuse,
        )

    def forward(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.top_down(self.bottom_up(clip))

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self.top_down.output_shape()

    @property
    def size_divisibility(self) -> int:
        return self.bottom_up.size_divisibility


@BACKBONE_REGISTRY.register()
def build_i3d_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> I3DFPN:
    """Registered as ``build_i3d_fpn_backbone``; ``input_shape.channels`` is 3 or 2."""
    node = cfg.MODEL.I3D
    trunk = InceptionI3D(input_shape.channels, node.WIDTH, node.NORM, node.FREEZE_AT, node.CONTEXT)
    return build_fpn(cfg, trunk)


@BACKBONE_REGISTRY.register()
def build_s3d_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> I3DFPN:
    """S3D or S3D-G in I3D's place, under MODEL.I3D's keys and MODEL.S3D's."""
    node, own = cfg.MODEL.I3D, cfg.MODEL.S3D
    sizes = (input_shape.channels, node.WIDTH, node.NORM, node.FREEZE_AT, node.CONTEXT)
    gating = {"auto": None, "on": True, "off": False}
    if own.GATING not in gating:
        raise ValueError(f"MODEL.S3D.GATING is one of {tuple(gating)}, not {own.GATING!r}")
    return build_fpn(cfg, SeparableI3D(*sizes, own.VARIANT, gating[own.GATING]))


def build_fpn(cfg: CfgNode, trunk: nn.Module) -> I3DFPN:
    """A trunk with time pooled, under Detectron2's pyramid, as the config has both.

    Args:
        trunk: clip (N, C, T, H, W) -> ``{"c2".."c5"}``, each (N, C_l, T_l, H_l, W_l) at strides 4,
            8, 16 and 32 in space; ``out_channels`` says C_l.
    """
    node = cfg.MODEL.I3D
    bottom_up = I3DTrunk(trunk, node.TIME_POOL, cfg.MODEL.FPN.IN_FEATURES or LEVELS)
    if uses_cached_features(cfg):
        bottom_up.requires_grad_(False)
    return I3DFPN(
        bottom_up,
        cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        fuse=cfg.MODEL.FPN.FUSE_TYPE,
        dropout=cfg.MODEL.FPN.DROPOUT,
    )
