"""The optimizer that a config names: Detectron2's SGD, or AdamW with its clipping."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

OPTIMIZERS = ("SGD", "AdamW")


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of SOLVER.OPTIMIZER, with SOLVER's rates, decays and clipping.

    Raises:
        ValueError: an unknown name.
    """
    node = cfg.SOLVER
    if node.OPTIMIZER == "SGD":
        return build_sgd(cfg, model)
    if node.OPTIMIZER != "AdamW":
        raise ValueError(f"SOLVER.OPTIMIZER is one of {OPTIMIZERS}, not {node.OPTIMIZER!r}")
    params = get_default_optimizer_params(
        model,
        base_lr=node.BASE_LR,
        weight_decay_norm=node.WEIGHT_DECAY_NORM,
        bias_lr_factor=node.BIAS_LR_FACTOR,
        weight_decay_bias=node.WEIGHT_DECAY_BIAS,
    )
    optimizer = torch.optim.AdamW(params, node.BASE_LR, weight_decay=node.WEIGHT_DECAY)
    return maybe_add_gradient_clipping(cfg, optimizer)
