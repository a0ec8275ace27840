"""Ablations of the stage loop: who goes first, what messages are made of, shared heads, scores."""

from __future__ import annotations

import logging

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import combine
from tests.tiny import tiny_config, tiny_input

A = [0.0, 0.0, 10.0, 10.0]
A_HIGH = [0.0, 0.0, 10.0, 8.0]  # IoU 0.8 with A
A_MIDDLE = [0.0, 0.0, 10.0, 6.0]  # IoU 0.6 with A, 0.75 with A_HIGH
A_LOW = [0.0, 0.0, 10.0, 4.0]  # IoU 0.4 with A, 0.5 with A_HIGH, 0.67 with A_MIDDLE


def build(stages: int, *options: object) -> TwoStreamRCNN:
    torch.manual_seed(0)
    keys = [f"MODEL.COOPERATION.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    return build_model(tiny_config(["MODEL.COOPERATION.NUM_STAGES", stages, *keys]))


def outputs(model: TwoStreamRCNN) -> list[StageOutput]:
    with torch.no_grad():
        images, pyramids = model.eval().extract_features([tiny_input(0)])
        proposals, _ = model.propose(images, pyramids, None)
    return model.roi_heads.head_outputs(pyramids, proposals)


def test_flow_may_go_first() -> None:
    streams = [x.stream for x in outputs(build(4, "FIRST_STREAM", "flow"))]
    assert streams == ["rgb", "flow", "flow", "rgb", "flow", "rgb"]
    streams = [x.stream for x in outputs(build(6))]
    assert streams == ["rgb", "flow", *["rgb", "flow"] * 3]
    with pytest.raises(ValueError, match=r"FIRST_STREAM is one of \('rgb', 'flow'\), not 'both'"):
        build(1, "FIRST_STREAM", "both")


def test_flow_first_starts_from_its_own_stage0() -> None:
    model = build(2, "FIRST_STREAM", "flow")
    model.load_state_dict(build(0).state_dict(), strict=False)
    stage0 = model.roi_heads.stage0_heads
    for head, stream in zip(model.roi_heads.stage_heads, ("flow", "rgb")):
        pairs = zip(head.state_dict().values(), stage0[stream].state_dict().values())
        assert all(torch.equal(a, b) for a, b in pairs)


class Plus(nn.Module):
    """A message whose size is known: the target plus so many times the assistant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, target: torch.Tensor, assistant: torch.Tensor) -> torch.Tensor:
        return target + self.factor * assistant


@pytest.mark.parametrize(
    ("refined", "expected"),
    [
        # Stage 3 improves RGB (1) by flow (10): raw 1 + 0.3 * 10.
        (False, 1 + 0.3 * 10),
        # RGB after stage 1 is 1 + 0.1 * 10 = 2, flow after stage 2 is 10 + 0.2 * 2 = 10.4.
        (True, 1 + 0.3 * 10.4),
    ],
)
def test_messages_of_raw_and_of_refined_features(refined: bool, expected: float) -> None:
    heads = build(3, "REFINED_MESSAGES", refined).roi_heads.eval()
    heads.roi_messages = nn.ModuleList([Plus(0.1), Plus(0.2), Plus(0.3)])
    sizes = {"p2": 16, "p3": 8, "p4": 4, "p5": 2}
    pyramid = [torch.cat([torch.ones(1, 16, n, n), torch.full((1, 16, n, n), 10.0)]) for n in
               sizes.values()]  # fmt: skip
    boxes = Instances((64, 64), proposal_boxes=Boxes(torch.tensor([[8.0, 8.0, 40.0, 40.0]])))
    rois = heads._refined_rois(3, pyramid, [boxes])
    assert torch.allclose(rois, torch.full_like(rois, expected))


def test_shared_heads_are_one_of_each_stream() -> None:
    model = build(4, "SHARED_HEADS", True)
    heads = model.roi_heads
    assert all(
        head is heads.stage0_heads[stream]
        for head, stream in zip(heads.stage_heads, ["rgb", "flow"] * 2)
    )
    own, shared = (sum(p.numel() for p in m.roi_heads.parameters()) for m in (build(4), model))
    one = sum(p.numel() for p in heads.stage0_heads["rgb"].parameters())
    assert own - shared == 4 * one
    with EventStorage():
        losses = model([tiny_input(0)])
    assert {"loss_cls_stage0_rgb", "loss_cls_stage4_flow"} <= set(losses)
    sum(losses.values()).backward()
    again = build(4, "SHARED_HEADS", True)
    again.load_state_dict(model.state_dict())
    assert torch.equal(outputs(model)[-1].probs[0], outputs(again)[-1].probs[0])


def test_temperatures_calibrate_what_is_put_together_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, model = build(2), build(2, "CALIBRATED", True)
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        model.load_state_dict(plain.state_dict())
    assert "no head is calibrated" in caplog.text
    before = outputs(plain)
    assert torch.equal(outputs(model)[-1].probs[0], before[-1].probs[0])
    same = [m.roi_heads.detections(before)[-1][0].scores for m in (plain, model)]
    assert torch.allclose(*same)
    model.roi_heads.temperatures.copy_(torch.tensor([1.0, 1.0, 1.0, 1e6]))
    # The last head knows nothing any more: every class is as likely as every other.
    boxes, logits = before[-1].boxes[0], before[-1].logits[0]
    last = StageOutput("flow", [boxes], [logits.softmax(1)], [(64, 96)], logits=[logits])
    found = model.roi_heads.detections([*before[:3], last], mode="last_two")[-1][0]
    assert torch.isclose(found.scores, torch.tensor(0.2), atol=1e-3).any()
    assert torch.equal(outputs(model)[-1].probs[0], before[-1].probs[0])


def source(stream: str, *rows: tuple[list[float], float]) -> StageOutput:
    boxes = torch.tensor([box for box, _ in rows])
    probs = torch.tensor([[a, 1 - a] for _, a in rows])
    return StageOutput(stream, [boxes], [probs], [(100, 100)])


def test_union_within_streams_first() -> None:
    rgb0, rgb1 = source("rgb", (A_HIGH, 0.6)), source("rgb", (A_LOW, 0.5))
    flow = source("flow", (A, 0.9), (A_MIDDLE, 0.8))
    plain, within = (
        combine([rgb0, flow, rgb1], mode, 0.05, 0.45, 10)[0].pred_boxes.tensor.tolist()
        for mode in ("union", "within_streams")
    )
    # All at once, A takes A_MIDDLE and A_HIGH with it, and A_LOW (0.4) survives. Within RGB, A_LOW
    # goes because of A_HIGH, which A then takes.
    assert plain == [A, A_LOW]
    assert within == [A]
