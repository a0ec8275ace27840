"""A trained detector out of its config and weights, for the commands that use one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import nn

from pcsc_d2 import data, modeling  # noqa: F401  (registers what configs name)
from pcsc_d2.model_zoo import get_config
from pcsc_d2.modeling import build_detector, require_detector, what_is_incomplete
from pcsc_d2.models.info import ModelError
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.weights import DamagedError, load_tensors


def read_config(
    config: Path, options: Sequence[object] = (), device: str | torch.device | None = None
) -> CfgNode:
    """The config for using a model once, whose last stage is what counts.

    Args:
        config: a file, or the name of one that comes with the package.
        options: KEY, VALUE, ... on top of it.
        device: None takes the config's, and the CPU where there is none like it.

    Raises:
        ModelError: no such file, or a key or value that the config does not have.
    """
    try:
        cfg = get_config(config, options)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if device is not None:
        cfg.MODEL.DEVICE = str(device)
    elif not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.TEST.EVAL_ALL_STAGES = False
    return cfg


def load_trained(cfg: CfgNode) -> nn.Module:
    """The model of a config with all of MODEL.WEIGHTS in it, in evaluation mode.

    Raises:
        ModelError: no such file, damaged, it does not fit, or lacks stages.
    """
    weights = Path(cfg.MODEL.WEIGHTS)
    if not cfg.MODEL.WEIGHTS:
        raise ModelError("which weights? give MODEL.WEIGHTS at the end of the line")
    if not weights.is_file():
        raise ModelError(f"{weights}: no such file; give a config and its weights")
    model = build_detector(cfg).eval()
    try:
        require_detector(cfg, model)
    except ValueError as error:
        raise ModelError(str(error)) from None
    try:
        saved = load_tensors(weights)
        model.load_state_dict(saved.get("model", saved))
    except DamagedError as error:
        raise ModelError(str(error)) from error
    except Exception as error:  # weights of another network, or values that are none
        reason = f"cannot be loaded into the network of its config ({one_line(error)})"
        raise ModelError(f"{weights}: {reason}") from error
    incomplete = what_is_incomplete(cfg, model)
    if incomplete:
        raise ModelError(incomplete)
    return model
