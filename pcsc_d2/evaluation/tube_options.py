"""How ``TEST.TUBES`` says that tubes are linked and refined."""

from __future__ import annotations

from detectron2.config import CfgNode
from torch import nn

from pcsc_d2.config import changed
from pcsc_d2.tubes import LinkOptions, RefineOptions


def link_options(cfg: CfgNode) -> LinkOptions:
    """The linker's options under ``TEST.TUBES``."""
    node = cfg.TEST.TUBES
    return LinkOptions(
        gap=node.GAP,
        min_length=node.MIN_LENGTH,
        interpolate=node.INTERPOLATE,
        temporal_alpha=node.TEMPORAL_LABELLING or None,
    )


def refine_options(cfg: CfgNode) -> RefineOptions | None:
    """How tubes are refined, or None where they are not.

    None too where the config leaves the threshold or the window to the checkpoint, as no model
    has filled them in (``with_trained_refinement``): without a head there is no actionness.
    """
    node = cfg.TEST.TUBES
    if not node.REFINE or node.ACTIONNESS_THRESH < 0 or node.ACTIONNESS_WINDOW < 1:
        return None
    return RefineOptions(node.ACTIONNESS_THRESH, node.ACTIONNESS_WINDOW, node.MIN_LENGTH)


def with_trained_refinement(cfg: CfgNode, model: nn.Module) -> CfgNode:
    """The config with the threshold and the window that were chosen when what cuts ``model``'s
    tubes was trained, where it leaves them open: its segments' network, else its actionness
    head."""
    model = model.module if hasattr(model, "module") else model
    heads = getattr(model, "roi_heads", None)
    found = (getattr(heads, name, None) for name in ("segments", "actionness_head"))
    head = next((head for head in found if head is not None), None)
    if head is None:
        return cfg
    node, values = cfg.TEST.TUBES, {}
    if node.ACTIONNESS_THRESH < 0:
        values["TEST.TUBES.ACTIONNESS_THRESH"] = round(head.threshold.item(), 6)
    if node.ACTIONNESS_WINDOW < 1:
        values["TEST.TUBES.ACTIONNESS_WINDOW"] = head.window.item()
    return changed(cfg, values)
