"""Late fusions on cases computed by hand, and in the model."""

from __future__ import annotations

import logging

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage
from torch import nn

from pcsc_d2.modeling.fusion import (
    AverageFusion,
    BoostFusion,
    ClassWeightsFusion,
    FullyConnectedFusion,
    LearnedFusion,
    build_late_fusion,
)
from pcsc_d2.modeling.fusion.same_boxes import average_loss
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import Limits
from tests.tiny import tiny_config, tiny_input

SIZE = (100, 100)
LIMITS = Limits(0.05, 0.5, 10)
A = [0.0, 0.0, 10.0, 10.0]
A_HIGH = [0.0, 0.0, 10.0, 8.0]  # IoU 0.8 with A
A_HALF = [0.0, 0.0, 10.0, 5.0]  # IoU 0.5 with A, 0.625 with A_HIGH
B = [50.0, 50.0, 60.0, 60.0]
LEARNED = ("ClassWeightsFusion", "FullyConnectedFusion")


def output(*rows: tuple[list[float], list[float]]) -> StageOutput:
    """A head's output on one image; a row is a box and its probabilities, background last."""
    boxes = torch.tensor([box for box, _ in rows]).reshape(-1, 4)
    probs = torch.tensor([p for _, p in rows]).reshape(-1, 3)
    return StageOutput("", [boxes], [probs], [SIZE], logits=[probs.log()])


def found(fusion: torch.nn.Module, rgb: StageOutput, flow: StageOutput) -> list:
    (instances,) = fusion(rgb, flow, LIMITS)
    return [
        (box, cls, pytest.approx(score, abs=1e-5))
        for box, cls, score in zip(
            instances.pred_boxes.tensor.tolist(),
            instances.pred_classes.tolist(),
            instances.scores.tolist(),
        )
    ]


def learned(kind: type[LearnedFusion]) -> LearnedFusion:
    """One of two classes that is in use."""
    fusion = kind(num_classes=2)
    fusion.gain.fill_(1.0)
    return fusion


def test_average_by_hand() -> None:
    rgb = output((A, [0.8, 0.1, 0.1]), (B, [0.01, 0.3, 0.69]))
    flow = output((A_HIGH, [0.4, 0.1, 0.5]), (B, [0.01, 0.5, 0.49]))
    assert found(AverageFusion(), rgb, flow) == [
        ([0, 0, 10, 9], 0, 0.6),  # halfway between A and A_HIGH
        (B, 1, 0.4),
        ([0, 0, 10, 9], 1, 0.1),
    ]


def test_class_weights_by_hand() -> None:
    fusion = learned(ClassWeightsFusion)
    with torch.no_grad():
        fusion.weights.copy_(torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]))
    rgb, flow = output((A, [0.6, 0.2, 0.2])), output((A, [0.1, 0.7, 0.2]))
    # Class 0 from RGB, class 1 from flow, background from both: 0.6, 0.7, 0.2 of 1.5.
    assert found(fusion, rgb, flow) == [(A, 1, 0.7 / 1.5), (A, 0, 0.6 / 1.5)]


def test_fully_connected_by_hand() -> None:
    fusion = learned(FullyConnectedFusion)
    with torch.no_grad():
        fusion.layer.weight.zero_()
        fusion.layer.weight[0, 1] = 1  # class 0 says what RGB says of class 1
        fusion.layer.weight[1, 3] = 1  # class 1 what flow says of class 0
        fusion.layer.weight[2, 5] = 1  # and background what flow says of it
        fusion.layer.bias[0] = torch.tensor(2.0).log()
    rgb, flow = output((A, [0.6, 0.2, 0.2])), output((A, [0.3, 0.2, 0.5]))
    assert found(fusion, rgb, flow) == [(A, 0, 0.4 / 1.2), (A, 1, 0.3 / 1.2)]


def test_boost_by_hand() -> None:
    rgb = output((A, [0.5, 0.0, 0.5]), (B, [0.2, 0.0, 0.8]))
    # Two flow detections of class 0 survive their own NMS; A_HIGH is the nearer, however poor.
    flow = output((A_HIGH, [0.3, 0.4, 0.3]), ([0.0, 4.0, 10.0, 10.0], [0.7, 0.0, 0.3]))
    assert found(BoostFusion(iou=0.3), rgb, flow) == [(A, 0, 0.5 + 0.8 * 0.3), (B, 0, 0.2)]


def test_boost_asks_for_overlap_and_class() -> None:
    rgb = output((A, [0.5, 0.0, 0.5]))
    assert found(BoostFusion(iou=0.6), rgb, output((A_HALF, [0.9, 0.0, 0.1]))) == [(A, 0, 0.5)]
    assert found(BoostFusion(iou=0.5), rgb, output((A_HALF, [0.9, 0.0, 0.1]))) == [
        (A, 0, 0.5 + 0.5 * 0.9)
    ]
    assert found(BoostFusion(iou=0.3), rgb, output((A, [0.0, 0.9, 0.1]))) == [(A, 0, 0.5)]


def test_boost_reorders_and_bears_empty_streams() -> None:
    rgb = output((A, [0.5, 0.0, 0.5]), (B, [0.4, 0.0, 0.6]))
    flow = output((B, [0.3, 0.0, 0.7]))
    assert found(BoostFusion(iou=0.3), rgb, flow) == [(B, 0, 0.7), (A, 0, 0.5)]
    assert found(BoostFusion(iou=0.3), rgb, output()) == [(A, 0, 0.5), (B, 0, 0.4)]
    assert found(BoostFusion(iou=0.3), output(), flow) == []


@pytest.mark.parametrize("kind", [ClassWeightsFusion, FullyConnectedFusion])
def test_learned_ones_start_as_the_average(kind: type[LearnedFusion]) -> None:
    rgb, flow = torch.randn(2, 9, 5).mul(3).unbind()
    fusion = kind(num_classes=4)
    expected = AverageFusion().probabilities(rgb, flow)
    assert torch.equal(fusion.probabilities(rgb, flow), expected)
    # And so do their logits, as the mean of the heads'.
    assert torch.allclose(fusion.logits(rgb, flow), (rgb + flow) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", [ClassWeightsFusion, FullyConnectedFusion])
def test_training_with_the_detector_tells_when_it_is_better(kind: type[LearnedFusion]) -> None:
    torch.manual_seed(0)
    classes = torch.randint(0, 5, (64,))
    sure = 4 * torch.nn.functional.one_hot(classes, 5).float()
    noise = 4 * torch.randn(64, 5)
    fusion = kind(num_classes=4)
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        fusion.losses(sure, noise, classes)["loss_fusion"].backward()
        optimizer.step()
    assert fusion.gain > 0
    fused = fusion.probabilities(sure, noise)
    loss = torch.nn.functional.nll_loss(fused.log(), classes)
    assert loss < average_loss(sure, noise, classes)


def test_a_fusion_that_is_worse_than_the_average_is_not_used() -> None:
    classes = torch.tensor([0, 1])
    rgb = flow = 4 * torch.nn.functional.one_hot(classes, 3).float()
    fusion = ClassWeightsFusion(num_classes=2)
    with torch.no_grad():
        fusion.weights.fill_(-0.5)
    fusion.losses(rgb, flow, classes)
    assert fusion.gain < 0
    assert torch.equal(fusion.probabilities(rgb, flow), rgb.softmax(dim=1))


def fused_config(name: str, *options: object) -> CfgNode:
    return tiny_config(["MODEL.FUSION.NAME", name, *options])


@pytest.mark.parametrize("stages", [0, 1, 4])
@pytest.mark.parametrize("name", ["AverageFusion", "BoostFusion", *LEARNED])
def test_in_the_model(name: str, stages: int) -> None:
    torch.manual_seed(0)
    model = build_model(fused_config(name, "MODEL.COOPERATION.NUM_STAGES", stages))
    with EventStorage():
        losses = model([tiny_input(0), tiny_input(1)])
    assert ("loss_fusion" in losses) == (name in LEARNED)
    sum(losses.values()).backward()
    for parameter in model.roi_heads.parameters():
        assert parameter.grad is not None
    instances = model.eval()([tiny_input(0)])[0]["instances"]
    assert len(instances) > 0
    assert (instances.scores[:-1] >= instances.scores[1:]).all()


@pytest.mark.parametrize("stages", [0, 2])
def test_fusion_gives_the_heads_no_gradient(stages: int) -> None:
    options = ("MODEL.COOPERATION.NUM_STAGES", stages, "MODEL.ROI_BOX_HEAD.DROPOUT", 0.5)
    model = build_model(fused_config("FullyConnectedFusion", *options))
    with EventStorage():
        model([tiny_input(0)])["loss_fusion"].backward()
    got = {name for name, p in model.named_parameters() if p.grad is not None}
    assert got == {"roi_heads.fusion.layer.weight", "roi_heads.fusion.layer.bias"}


def test_both_heads_look_at_the_proposals_of_both_streams() -> None:
    model = build_model(fused_config("AverageFusion")).eval()
    inputs = [tiny_input(0)]
    with torch.no_grad():
        images, pyramids = model.extract_features(inputs)
        proposals, _ = model.propose(images, pyramids, None)
        rgb, flow = model.roi_heads.head_outputs(pyramids, proposals)
    number = sum(len(proposals[s][0]) for s in ("rgb", "flow"))
    assert len(rgb.boxes[0]) == len(flow.boxes[0]) == number
    assert torch.allclose(rgb.logits[0].softmax(dim=1), rgb.probs[0], atol=1e-6)


def staged_model(stages: int, *options: object) -> nn.Module:
    torch.manual_seed(0)
    options = ("MODEL.COOPERATION.NUM_STAGES", stages, *options)
    return build_model(fused_config("AverageFusion", *options)).eval()


@pytest.mark.parametrize("first", ["rgb", "flow"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_with_stages_all_heads_look_at_the_last_stages_boxes(stages: int, first: str) -> None:
    model = staged_model(stages, "MODEL.COOPERATION.FIRST_STREAM", first)
    heads = model.roi_heads
    with torch.no_grad():
        images, pyramids = model.extract_features([tiny_input(0)])
        proposals, _ = model.propose(images, pyramids, None)
        last = heads.head_outputs(pyramids, proposals)[-1]
        pair = heads.fusion_outputs(pyramids, proposals)
        # By hand: every head's answer about those boxes, and their mean by stream.
        boxes = [Instances.cat([part[0] for part in last.origins.values()])]
        pooled = {
            s: heads.box_pooler(
                [pyramids[s][level] for level in heads.box_in_features],
                [b.proposal_boxes for b in boxes],
            )
            for s in ("rgb", "flow")
        }
        said = {s: [heads.stage0_heads[s](pooled[s])] for s in pooled}
        for t in range(1, stages + 1):
            own, other = heads.target(t), heads.target(t + 1)
            refined = heads.roi_messages[t - 1](pooled[own], pooled[other])
            said[own].append(heads.stage_heads[t - 1](refined))
    assert [x.stream for x in pair] == ["rgb", "flow"]
    assert torch.allclose(last.logits[0], said[last.stream][-1][0], atol=1e-5)
    predictor = heads.stage0_heads["rgb"].predictor
    for found in pair:
        logits, deltas = zip(*said[found.stream])
        probs = sum(x.softmax(dim=1) for x in logits) / len(logits)
        assert torch.allclose(found.logits[0].softmax(dim=1), probs, atol=1e-5)
        mean = (logits[0], sum(deltas) / len(deltas))
        expected = predictor.predict_boxes(mean, boxes)[0]
        assert torch.allclose(found.boxes[0], expected, atol=1e-3)


def test_what_was_learnt_of_stage0_does_not_answer_for_later_stages() -> None:
    options = ("MODEL.COOPERATION.NUM_STAGES", 2)
    heads = build_model(fused_config("ClassWeightsFusion", *options)).roi_heads
    heads.fusion.gain.fill_(1.0)
    heads.start_stages_from_stage0()
    assert heads.fusion.gain == 0


def test_another_fusions_weights_leave_the_average(caplog: pytest.LogCaptureFixture) -> None:
    other = build_model(fused_config("ClassWeightsFusion"))
    other.roi_heads.fusion.gain.fill_(1.0)
    model = build_model(fused_config("FullyConnectedFusion"))
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        model.load_state_dict(other.state_dict(), strict=False)
    assert "answers as the average" in caplog.text
    assert model.roi_heads.fusion.gain == 0


def test_every_stage_is_fused() -> None:
    """Stage 0 as the baseline's heads are, the last as where it is asked for alone."""
    outputs = {}
    for stages, every in ((0, False), (2, False), (2, True)):
        options = ("MODEL.COOPERATION.IMAGE_MESSAGES", False, "TEST.EVAL_ALL_STAGES", every)
        model = staged_model(stages, *options)
        if stages:
            model.load_state_dict(outputs["state"], strict=False)
        else:  # scores that rounding does not put in another order
            for head in model.roi_heads.stage0_heads.values():
                head.predictor.cls_score.weight.data.mul_(300)
        outputs["state"] = outputs.get("state", model.state_dict())
        found = model([tiny_input(0)])[0]
        outputs[stages, every] = found["stages"] if every else [found["instances"]]
    assert len(outputs[2, True]) == 3
    for one, other in ((outputs[0, False][0], 0), (outputs[2, False][0], 2)):
        same = outputs[2, True][other]
        assert torch.allclose(one.scores, same.scores, atol=1e-5)
        assert torch.allclose(one.pred_boxes.tensor, same.pred_boxes.tensor, atol=1e-3)


@pytest.mark.parametrize("name", LEARNED)
def test_weights_of_a_detector_without_fusion_leave_the_average(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    baseline = build_model(tiny_config())
    model = build_model(fused_config(name))
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        model.load_state_dict(baseline.state_dict())
    assert "answers as the average" in caplog.text
    average = build_model(fused_config("AverageFusion"))
    average.load_state_dict(baseline.state_dict())
    pair = [m.eval()([tiny_input(2)])[0]["instances"] for m in (model, average)]
    assert torch.equal(pair[0].scores, pair[1].scores)


def test_bad_combinations_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"MODEL.FUSION.NAME is 'mean'; there are AverageFusion, "):
        build_late_fusion(fused_config("mean"))


def test_fusion_and_calibration_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"as they are: set MODEL\.COOPERATION\.CALIB"):
        build_late_fusion(fused_config("AverageFusion", "MODEL.COOPERATION.CALIBRATED", True))
