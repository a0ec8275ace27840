"""The warm-up of stage 0 and the random state of an iteration."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.engine import SeedEachIteration, StageWarmup
from pcsc_d2.modeling import CooperationROIHeads, TwoStreamRCNN
from pcsc_d2.modeling.cooperation_roi_heads import target_stream
from tests.tiny import tiny_config


@pytest.fixture
def model() -> TwoStreamRCNN:
    return build_model(tiny_config(["MODEL.COOPERATION.NUM_STAGES", 4]))


def walk(hook: StageWarmup, iterations: range) -> list[int]:
    """The stages that are active at each iteration; messages between images go with them."""
    active = []
    for iteration in iterations:
        hook.trainer = SimpleNamespace(iter=iteration)
        hook.before_step()
        active.append(hook._model.roi_heads.active_stages)
        assert hook._model.active_messages == (active[-1] > 0)
    return active


def equal_to_stage0(heads: CooperationROIHeads) -> list[bool]:
    """Of each later stage, whether its head is that of its stream."""
    return [
        all(
            torch.equal(value, heads.stage0_heads[target_stream(stage)].state_dict()[key])
            for key, value in head.state_dict().items()
        )
        for stage, head in enumerate(heads.stage_heads, start=1)
    ]


def test_stages_rest_and_then_start_from_their_stream(model: TwoStreamRCNN) -> None:
    hook = StageWarmup(model, 3)
    assert walk(hook, range(0, 3)) == [0, 0, 0]
    assert equal_to_stage0(model.roi_heads) == [False] * 4
    assert walk(hook, range(3, 4)) == [4]
    assert equal_to_stage0(model.roi_heads) == [True] * 4
    # From then on they are on their own.
    torch.nn.init.normal_(model.roi_heads.stage_heads[1].predictor.cls_score.weight)
    assert walk(hook, range(4, 6)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [True, False, True, True]


def test_resumed_beyond_the_warmup_keeps_the_trained_heads(model: TwoStreamRCNN) -> None:
    assert walk(StageWarmup(model, 3), range(4, 6)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [False] * 4


def test_without_warmup_nothing_is_copied(model: TwoStreamRCNN) -> None:
    assert walk(StageWarmup(model, 0), range(0, 2)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [False] * 4


def test_stages_work_after_a_training_shorter_than_the_warmup(model: TwoStreamRCNN) -> None:
    hook = StageWarmup(model, 3)
    walk(hook, range(0, 2))
    hook.after_train()
    assert model.roi_heads.active_stages == 4
    assert model.active_messages


def draws(seed: int, iteration: int) -> tuple[float, float]:
    hook = SeedEachIteration(seed)
    hook.trainer = SimpleNamespace(iter=iteration)
    hook.before_step()
    return torch.rand(()).item(), np.random.uniform()


def test_random_state_is_that_of_the_iteration() -> None:
    assert draws(1, 7) == draws(1, 7)
    assert len({draws(seed, iteration) for seed in (1, 2) for iteration in (7, 8)}) == 4
