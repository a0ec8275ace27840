"""The warm-up of stage 0, which any trainer of Detectron2's brings about."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from pcsc_d2.modeling import CooperationROIHeads, TwoStreamRCNN
from pcsc_d2.modeling.cooperation_roi_heads import target_stream
from tests.tiny import tiny_config, tiny_input


@pytest.fixture
def model(request: pytest.FixtureRequest) -> TwoStreamRCNN:
    """With all messages; three iterations of warm-up, unless the test asks for another number."""
    warmup = getattr(request, "param", 3)
    options = ["MODEL.COOPERATION.NUM_STAGES", 4, "MODEL.COOPERATION.IMAGE_MESSAGES", True]
    return build_model(tiny_config([*options, "MODEL.COOPERATION.WARMUP_ITERS", warmup]))


def walk(model: TwoStreamRCNN, iterations: Iterable[int]) -> list[int]:
    """How many stages have losses in each iteration; messages between images go with them."""
    active = []
    for iteration in iterations:
        with EventStorage(iteration):
            losses = model([tiny_input()])
        active.append(sum(f"loss_cls_stage{t}" in name for t in range(1, 5) for name in losses))
        assert model.active_messages == (active[-1] > 0)
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
    assert walk(model, range(3)) == [0, 0, 0]
    assert equal_to_stage0(model.roi_heads) == [False] * 4
    assert walk(model, [3]) == [4]
    assert equal_to_stage0(model.roi_heads) == [True] * 4
    # From then on they are on their own.
    torch.nn.init.normal_(model.roi_heads.stage_heads[1].predictor.cls_score.weight)
    assert walk(model, range(4, 6)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [True, False, True, True]


def test_resumed_beyond_the_warmup_keeps_the_trained_heads(model: TwoStreamRCNN) -> None:
    assert walk(model, range(4, 6)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [False] * 4


@pytest.mark.parametrize("model", [0], indirect=True)
def test_without_warmup_nothing_is_copied(model: TwoStreamRCNN) -> None:
    assert walk(model, range(2)) == [4, 4]
    assert equal_to_stage0(model.roi_heads) == [False] * 4
