"""One stream of the model: how its clips are normalised, its backbone and its RPN."""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_proposal_generator
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from pcsc_d2.layers import SeparableI3D, TappedTrunk, load_i3d_weights, load_s3d_weights
from pcsc_d2.layers.normalisation import normalise
from pcsc_d2.model_zoo.kinetics import KINETICS, load_kinetics
from pcsc_d2.model_zoo.s3d import load_s3d_kinetics
from pcsc_d2.modeling.i3d_fpn import I3DFPN

logger = logging.getLogger(__name__)

# What a stream sees -> the model input that it is made of.
SOURCES = {"rgb": "rgb", "flow": "flow", "difference": "rgb"}


def _load_weights(trunk: nn.Module, weights: str, stream: str) -> None:
    if not isinstance(trunk, TappedTrunk):
        name = f"MODEL.{stream.upper()}.WEIGHTS"
        raise ValueError(
            f"{name} {weights}: there are weights of I3D and S3D, and this trunk is a "
            f"{type(trunk).__name__}: fill it where it is built, and leave {name} empty"
        )
    separable = isinstance(trunk, SeparableI3D)
    if weights == KINETICS:
        (load_s3d_kinetics if separable else load_kinetics)(trunk)
    else:
        load = load_s3d_weights if separable else load_i3d_weights
        load(trunk, weights, f"{stream}.backbone.bottom_up.trunk.")


def _check_source(name: str, node: CfgNode) -> None:
    key, channels = f"MODEL.{name.upper()}", len(node.PIXEL_MEAN)
    if node.SOURCE not in SOURCES:
        raise ValueError(f"{key}.SOURCE {node.SOURCE}: a stream sees {', '.join(SOURCES)}")
    if node.SOURCE == "difference" and (channels, len(node.PIXEL_STD)) != (3, 3):
        raise ValueError(
            f"{key}.SOURCE difference is of RGB: three values in {key}.PIXEL_MEAN and PIXEL_STD, "
            "such as [0, 0, 0] and [40, 40, 40]"
        )


def _say_random(name: str, norm: str) -> None:
    key = f"MODEL.{name.upper()}.WEIGHTS"
    logger.warning("%s is empty: the %s trunk starts from random weights", key, name)
    if norm == "FrozenBN":
        logger.warning("from random weights MODEL.I3D.NORM FrozenBN trains badly: use BN or GN")


class Stream(nn.Module):
    """Clip normalisation, backbone and region proposal network of one stream.

    Args:
        name: ``"rgb"`` or ``"flow"``: suffix of the losses and scope of what is logged.
        source: one of ``SOURCES``: a clip ``(C, T, H, W)`` of the model input, or what changes in
            it from frame to frame.
        backbone: its trunk and its pyramid.
        proposal_generator: Detectron2's RPN.
        pixel_mean, pixel_std: one value per channel C.
        bounded: cut what is normalised to [-1, 1]; flow and changes have values beyond any bound.
        weights: what the trunk starts from: "kinetics", a file (see MODEL.RGB.WEIGHTS), or "" for
            what it has.
    """

    @configurable
    def __init__(
        self,
        *,
        name: str,
        source: str,
        backbone: I3DFPN,
        proposal_generator: nn.Module,
        pixel_mean: list[float],
        pixel_std: list[float],
        bounded: bool = True,
        weights: str = "",
    ) -> None:
        super().__init__()
        if weights:
            _load_weights(backbone.bottom_up.trunk, weights, name)
        self.name = name
        self.bounded = bounded
        self.source = source
        self.reads = SOURCES[source]
        self.backbone = backbone
        self.proposal_generator = proposal_generator
        # Four axes: (-1, 1, 1) would broadcast over time wherever T equals C.
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode, name: str) -> dict[str, object]:
        node = cfg.MODEL.RGB if name == "rgb" else cfg.MODEL.FLOW
        _check_source(name, node)
        # Two RGB streams normalise alike, whatever the second one's statistics of flow are.
        pixels = cfg.MODEL.RGB if node.SOURCE == cfg.MODEL.RGB.SOURCE else node
        backbone = build_backbone(cfg, ShapeSpec(channels=len(pixels.PIXEL_MEAN)))
        # MODEL.WEIGHTS is a whole detector and overrides what a trunk starts from.
        weights = "" if cfg.MODEL.WEIGHTS else node.WEIGHTS
        if not weights and not cfg.MODEL.WEIGHTS:
            _say_random(name, cfg.MODEL.I3D.NORM)
        return {
            "name": name,
            "source": node.SOURCE,
            "backbone": backbone,
            "proposal_generator": build_proposal_generator(cfg, backbone.output_shape()),
            "pixel_mean": pixels.PIXEL_MEAN,
            "pixel_std": pixels.PIXEL_STD,
            # Grey levels have bounds of their own, which need not be at 1 for every mean.
            "bounded": node.SOURCE != "rgb",
            "weights": weights,
        }

    @property
    def differences(self) -> bool:
        return self.source == "difference"

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def preprocess(self, batched_inputs: list[dict]) -> ImageList:
        """See ``normalise``; padded to the stride, and one batch: (N, C, T, H, W)."""
        clips = [x[self.reads].to(self.device, torch.float32) for x in batched_inputs]
        how = self.pixel_mean, self.pixel_std, self.bounded, self.differences
        clips = [normalise(x, *how) for x in clips]
        return ImageList.from_tensors(clips, self.backbone.size_divisibility)

    def propose(
        self,
        images: ImageList,
        pyramid: dict[str, torch.Tensor],
        targets: list[Instances] | None,
    ) -> tuple[list[Instances], dict[str, torch.Tensor]]:
        """Region proposals of each image, and in training the RPN's losses by stream."""
        if not self.training:
            return self.proposal_generator(images, pyramid, None)
        with get_event_storage().name_scope(f"{self.name}_rpn"):
            proposals, losses = self.proposal_generator(images, pyramid, targets)
        # Both RPNs name their losses alike; without the suffix one would drop the other's.
        return proposals, {f"{k}_{self.name}": v for k, v in losses.items()}
