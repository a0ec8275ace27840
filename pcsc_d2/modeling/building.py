"""The model of a config, whatever the config says, and whether its weights are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN
from pcsc_d2.utils.parsing import is_ours
from pcsc_d2.utils.text import one_line


def build_detector(cfg: CfgNode) -> nn.Module:
    """Detectron2's ``build_model``; see ``building``."""
    with building():
        return build_model(cfg)


@contextmanager
def building() -> Iterator[None]:
    """Tell in one line what is wrong where no network can be built of a config.

    Names that are not registered, sizes that do not fit each other or the memory, devices that are
    not there: each raises its own error, somewhere in Detectron2 or torch.

    Raises:
        ValueError: what is wrong, with the error as its cause.
    """
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, ValueError) and is_ours(error):
            raise
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        raise ValueError(
            f"no network can be built of this config ({reason}); PCSC_TRACEBACK=1 shows where"
        ) from error


def require_detector(cfg: CfgNode, model: nn.Module) -> None:
    """ValueError for a model that is not ``TwoStreamRCNN``, where one is to detect."""
    if not isinstance(model, TwoStreamRCNN):
        name = cfg.MODEL.META_ARCHITECTURE
        raise ValueError(f"MODEL.META_ARCHITECTURE {name} detects nothing here: TwoStreamRCNN does")


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
