"""The optimizer that a config names."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from pcsc_d2.engine import Trainer
from pcsc_d2.engine.optimizer import OPTIMIZERS
from tests.tiny import tiny_config


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_sgd_is_detectron2s() -> None:
    optimizer = Trainer.build_optimizer(tiny_config(), small())
    assert isinstance(optimizer, torch.optim.SGD)


def test_adamw_takes_the_solvers_rate_and_decays_but_not_norms() -> None:
    cfg = tiny_config(["SOLVER.OPTIMIZER", "AdamW", "SOLVER.BASE_LR", 0.002])
    cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.WEIGHT_DECAY_NORM = 0.05, 0.0
    model = small()
    optimizer = Trainer.build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {g["lr"] for g in optimizer.param_groups} == {0.002}
    assert (decays[model[0].weight], decays[model[1].weight]) == (0.05, 0.0)


@pytest.mark.parametrize("bias", [1.0, 2.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trunks_have_a_rate_of_their_own(name: str, bias: float) -> None:
    cfg = tiny_config(["SOLVER.OPTIMIZER", name, "SOLVER.BASE_LR", 0.002])
    cfg.SOLVER.TRUNK_FACTOR, cfg.SOLVER.BIAS_LR_FACTOR = 0.1, bias
    model = build_model(cfg)
    optimizer = Trainer.build_optimizer(cfg, model)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    trunks = {
        id(p) for s in (model.rgb, model.flow) for p in s.backbone.bottom_up.trunk.parameters()
    }
    biases = {id(p) for p_name, p in model.named_parameters() if p_name.endswith(".bias")}
    # GroupNorm has biases in the trunks, too.
    assert trunks < rates.keys()
    assert trunks & biases
    for parameter, rate in rates.items():
        expected = 0.0002 if parameter in trunks else 0.002
        assert rate == pytest.approx(expected * (bias if parameter in biases else 1))


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_factors_that_cannot_be_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=rf"SOLVER\.TRUNK_FACTOR is {factor}; 0 or more"):
        Trainer.build_optimizer(tiny_config(["SOLVER.TRUNK_FACTOR", factor]), small())


def test_adamw_clips_gradients() -> None:
    cfg = tiny_config(["SOLVER.OPTIMIZER", "AdamW", "SOLVER.CLIP_GRADIENTS.ENABLED", True])
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = "norm", 1.0
    model = small()
    optimizer = Trainer.build_optimizer(cfg, model)
    model[0].weight.grad = torch.full((2, 3), 100.0)
    optimizer.step()
    assert model[0].weight.grad.norm().item() == pytest.approx(1.0, rel=1e-4)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SOLVER\.OPTIMIZER is one of .*, not 'Lion'"):
        Trainer.build_optimizer(tiny_config(["SOLVER.OPTIMIZER", "Lion"]), small())
