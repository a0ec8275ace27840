"""A trained detector out of its config and weights, for the commands that use one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from pcsc_d2 import data, modeling  # noqa: F401  (registers what configs name)
from pcsc_d2.config import add_pcsc_config


class TrainedModelError(ValueError):
    """A config or weights that cannot be used; one line that names the file."""


def read_config(
    config: Path, options: Sequence[object] = (), device: str | torch.device | None = None
) -> CfgNode:
    """The config for using a model once, whose last stage is what counts.

    Args:
        config: a config file.
        options: KEY, VALUE, ... on top of it.
        device: None takes the config's, and the CPU where there is none like it.

    Raises:
        TrainedModelError: no such file, or a key or value that the config does not have.
    """
    if not config.is_file():
        raise TrainedModelError(f"{config}: no such file; give a config and its weights")
    cfg = get_cfg()
    add_pcsc_config(cfg)
    try:
        cfg.merge_from_file(str(config))
        cfg.merge_from_list(list(options))
    except Exception as error:  # YAML, unknown keys and wrong types each raise their own
        reason = f"is no config of this version ({_one_line(error)})"
        raise TrainedModelError(f"{config}: {reason}") from error
    if device is not None:
        cfg.MODEL.DEVICE = str(device)
    elif not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.TEST.EVAL_ALL_STAGES = False
    return cfg


def load_trained(cfg: CfgNode) -> nn.Module:
    """The model of a config with all of MODEL.WEIGHTS in it, in evaluation mode.

    Raises:
        TrainedModelError: no such file, damaged, or it does not fit.
    """
    weights = Path(cfg.MODEL.WEIGHTS)
    if not cfg.MODEL.WEIGHTS:
        raise TrainedModelError("which weights? give MODEL.WEIGHTS at the end of the line")
    if not weights.is_file():
        raise TrainedModelError(f"{weights}: no such file; give a config and its weights")
    model = build_model(cfg).eval()
    try:
        saved = torch.load(weights, map_location="cpu", weights_only=True)
        model.load_state_dict(saved.get("model", saved))
    except Exception as error:  # a damaged file raises nearly anything
        reason = f"cannot be loaded into the network of its config ({_one_line(error)})"
        raise TrainedModelError(f"{weights}: {reason}") from error
    return model


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]}..."
