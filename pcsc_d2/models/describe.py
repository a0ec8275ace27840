"""What a config and its model say of themselves, for a checkpoint and for an exported file."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from pcsc_d2.evaluation import link_options, refine_options, with_trained_refinement
from pcsc_d2.models.info import ModelError, ModelInfo

logger = logging.getLogger(__name__)


def describe(
    cfg: CfgNode, model: nn.Module, note: str = "", labels: Sequence[str] | None = None
) -> ModelInfo:
    """All that ``detect`` needs to know, by the rules of evaluation.

    Args:
        cfg: of the model; TEST.TUBES says how tubes are linked and cut.
        model: with the threshold and window that were chosen when its actionness was trained.
        note: what the model is, for people.
        labels: class names; None takes them from the metadata of the config's datasets. Where no
            dataset knows them, they are "class 0", "class 1" and so on, and a warning says so.

    Raises:
        ModelError: the number of labels is not that of the classes, or the config holds a value
            that cannot be.
    """
    count = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    labels = _registered_labels(cfg) if labels is None else labels
    if len(labels) != count:
        raise ModelError(f"{len(labels)} labels for {count} classes; give them with --labels")
    try:
        return _describe(cfg, model, note, tuple(labels))
    except ValueError as error:
        raise ModelError(f"the config's INPUT or TEST.TUBES cannot be used: {error}") from None


def _describe(cfg: CfgNode, model: nn.Module, note: str, labels: tuple[str, ...]) -> ModelInfo:
    return ModelInfo(
        labels=labels,
        clip_length=cfg.INPUT.CLIP_LENGTH,
        min_size=cfg.INPUT.MIN_SIZE_TEST,
        max_size=cfg.INPUT.MAX_SIZE_TEST,
        flow_method=_flow_method(cfg),
        flow_bound=float(cfg.INPUT.FLOW.BOUND),
        context=cfg.MODEL.I3D.CONTEXT,
        time_pool=cfg.MODEL.I3D.TIME_POOL,
        actionness=getattr(model.roi_heads, "actionness_head", None) is not None,
        link=link_options(cfg),
        refine=refine_options(with_trained_refinement(cfg, model)),
        note=note,
        device=torch.device(cfg.MODEL.DEVICE).type,
        segments=getattr(getattr(model.roi_heads, "segments", None), "sizes", None),
    )


def _flow_method(cfg: CfgNode) -> str:
    """How flow is computed; "none" where neither stream sees it."""
    sources = (cfg.MODEL.RGB.SOURCE, cfg.MODEL.FLOW.SOURCE)
    return cfg.INPUT.FLOW.METHOD if "flow" in sources else "none"


def _registered_labels(cfg: CfgNode) -> list[str]:
    count = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        labels = MetadataCatalog.get(name).get("thing_classes") or []
        if len(labels) == count:
            return labels
    logger.warning(
        "no dataset of the config names its %d classes, which are called 'class 0' and so on; "
        "DETECTRON2_DATASETS is to be as in training, or give --labels A,B,C when exporting",
        count,
    )
    return [f"class {i}" for i in range(count)]
