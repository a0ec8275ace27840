"""From a config and its weights to an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from pcsc_d2.export.comparison import TOLERANCE, difference
from pcsc_d2.export.tracing import to_network
from pcsc_d2.models.archive import ExportError, ExportInfo, load_archive, save_archive
from pcsc_d2.models.trained import TrainedModelError, load_trained, read_config


def export(
    config: Path,
    options: Sequence[str],
    out: Path,
    note: str = "",
    labels: Sequence[str] | None = None,
) -> str:
    """Write the file, and say what it is in a line or two.

    Args:
        config: a config file.
        options: KEY, VALUE pairs that override it; MODEL.WEIGHTS names the checkpoint.
        out: the file to write.
        note: what the model is, for people.
        labels: class names; None takes them from the metadata of the config's datasets.

    Raises:
        ExportError: no such config or weights, no class names, or the network does not answer as
            the model does.
    """
    try:
        cfg = read_config(config, options)
        model = load_trained(cfg)
    except TrainedModelError as error:
        raise ExportError(str(error)) from error
    info = describe(cfg, model, note, labels)
    partial = out.with_name(f"{out.name}.unchecked")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_archive(to_network(model, info.clip_length), info, partial)
        reached = difference(model, load_archive(partial, info.device)[0], info)
        if reached > TOLERANCE:
            raise ExportError(f"{out}: not written: it would answer {reached:.1e} off the model")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    megabytes = out.stat().st_size / 1e6
    return f"{out}: {megabytes:.1f} MB, {len(info.labels)} classes, {reached:.1e} off the model"


def describe(cfg: CfgNode, model: nn.Module, note: str, labels: Sequence[str] | None) -> ExportInfo:
    """What the file says about itself."""
    count = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if labels is None:
        labels = _registered_labels(cfg, count)
    if len(labels) != count:
        raise ExportError(f"{len(labels)} labels for {count} classes; give them with --labels")
    head = getattr(model.roi_heads, "actionness_head", None)
    return ExportInfo(
        labels=tuple(labels),
        clip_length=cfg.INPUT.CLIP_LENGTH,
        min_size=cfg.INPUT.MIN_SIZE_TEST,
        max_size=cfg.INPUT.MAX_SIZE_TEST,
        flow_method=cfg.INPUT.FLOW.METHOD,
        context=cfg.MODEL.I3D.CONTEXT,
        actionness=head is not None,
        actionness_threshold=float(getattr(head, "threshold", 0.0)),
        actionness_window=int(getattr(head, "window", 0)),
        note=note,
        device=torch.device(cfg.MODEL.DEVICE).type,
    )


def _registered_labels(cfg: CfgNode, count: int) -> list[str]:
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        labels = MetadataCatalog.get(name).get("thing_classes", [])
        if len(labels) == count:
            return labels
    raise ExportError(f"no dataset of the config names its {count} classes; give --labels A,B,C")
