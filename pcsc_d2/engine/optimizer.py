"""The optimizer that a config names: Detectron2's SGD, or AdamW with its clipping."""

from __future__ import annotations

import math

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

OPTIMIZERS = ("SGD", "AdamW")
# In the name of a trunk's weights, and of no others.
_TRUNK = ".bottom_up.trunk."


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of SOLVER.OPTIMIZER, with SOLVER's rates, decays and clipping.

    The trunks' rate is SOLVER.TRUNK_FACTOR times that of all else.

    Raises:
        ValueError: an unknown name, or a factor below 0.
    """
    node = cfg.SOLVER
    if node.OPTIMIZER not in OPTIMIZERS:
        raise ValueError(f"SOLVER.OPTIMIZER is one of {OPTIMIZERS}, not {node.OPTIMIZER!r}")
    if not 0 <= node.TRUNK_FACTOR < math.inf:
        raise ValueError(f"SOLVER.TRUNK_FACTOR is {node.TRUNK_FACTOR}; 0 or more")
    optimizer = build_sgd(cfg, model) if node.OPTIMIZER == "SGD" else _adamw(cfg, model)
    if node.TRUNK_FACTOR != 1:
        groups = _with_trunks_at(node.TRUNK_FACTOR, optimizer.param_groups, model)
        optimizer.param_groups[:] = groups
    return optimizer


def _adamw(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    node = cfg.SOLVER
    params = get_default_optimizer_params(
        model,
        base_lr=node.BASE_LR,
        weight_decay_norm=node.WEIGHT_DECAY_NORM,
        bias_lr_factor=node.BIAS_LR_FACTOR,
        weight_decay_bias=node.WEIGHT_DECAY_BIAS,
    )
    optimizer = torch.optim.AdamW(params, node.BASE_LR, weight_decay=node.WEIGHT_DECAY)
    return maybe_add_gradient_clipping(cfg, optimizer)


def _with_trunks_at(factor: float, groups: list[dict], model: nn.Module) -> list[dict]:
    """The groups, the trunks' weights in groups of their own with a rate that is times as high.

    Detectron2's own factor for names does not reach biases that have a rate of their own.
    """
    trunks = {id(p) for name, p in model.named_parameters() if _TRUNK in name}
    parts = []
    for group in groups:
        for slower in (False, True):
            params = [p for p in group["params"] if (id(p) in trunks) == slower]
            rate = group["lr"] * (factor if slower else 1)
            parts += [group | {"params": params, "lr": rate}] if params else []
    return parts
