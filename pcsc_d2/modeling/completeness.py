"""Whether weights that were loaded are those of the whole model."""

from __future__ import annotations

from detectron2.config import CfgNode
from torch import nn


def what_is_incomplete(cfg: CfgNode, model: nn.Module) -> str | None:
    """A line about stages that MODEL.WEIGHTS had no heads for, so that they are copies of stage 0;
    None where there are none, or TEST.INCOMPLETE_WEIGHTS says that it is meant."""
    stages = getattr(getattr(model, "roi_heads", None), "stages_without_weights", [])
    if not stages or cfg.TEST.INCOMPLETE_WEIGHTS:
        return None
    return (
        f"{cfg.MODEL.WEIGHTS}: has no heads of stages {', '.join(map(str, stages))} (weights of a "
        "baseline?); train them, give MODEL.COOPERATION.NUM_STAGES 0, or take copies of stage 0 "
        "with TEST.INCOMPLETE_WEIGHTS True"
    )
