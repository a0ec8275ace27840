"""Actionness of detections: that it is their own class's, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import nn

from pcsc_d2.modeling import ROI_ACTIONNESS_HEAD_REGISTRY, ActionnessHead, build_actionness_head
from pcsc_d2.modeling.actionness_head import pool_rois
from tests.tiny import tiny_config, tiny_input

SHAPE = ShapeSpec(channels=2, height=1, width=1)


def config(*options: object, on: bool = True, stages: int = 2) -> CfgNode:
    return tiny_config(
        ["MODEL.ACTIONNESS.ON", on, "MODEL.COOPERATION.NUM_STAGES", stages, *options]
    )


def make(cfg: CfgNode) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    # Messages start at zero: only with others does it matter where features are taken.
    for message in model.roi_heads.roi_messages or []:
        nn.init.normal_(message.restore.weight, std=0.1)
    return model


def detect(model: nn.Module, images: int = 2) -> list[Instances]:
    return [x["instances"] for x in model([tiny_input(seed) for seed in range(images)])]


def head(**options: object) -> ActionnessHead:
    made = ActionnessHead(SHAPE, num_classes=3, fc_dims=[], **options).eval()
    with torch.no_grad():
        made.predictor.weight.copy_(
            torch.tensor([[1.0, 0], [0, 1], [-1, 0]])[: len(made.predictor.weight)]
        )
    return made


def of_classes(*classes: int) -> Instances:
    return Instances((9, 9), pred_classes=torch.tensor(classes))


@pytest.mark.parametrize("stages", [0, 2])
@pytest.mark.parametrize("mode", ["union", "average"])
def test_detections_are_bit_for_bit_those_without_the_head(stages: int, mode: str) -> None:
    options = ("MODEL.COOPERATION.OUTPUT", mode)
    model = make(config(*options, stages=stages))
    plain = build_model(config(*options, on=False, stages=stages)).eval()
    state = {k: v for k, v in model.state_dict().items() if "actionness_head" not in k}
    plain.load_state_dict(state)
    for with_head, without in zip(detect(model), detect(plain)):
        assert len(with_head) > 0
        assert with_head.has("actionness")
        assert not without.has("actionness")
        assert torch.equal(with_head.pred_boxes.tensor, without.pred_boxes.tensor)
        assert torch.equal(with_head.scores, without.scores)
        assert torch.equal(with_head.pred_classes, without.pred_classes)


def test_a_detection_has_the_actionness_of_its_own_class() -> None:
    x = torch.tensor([[2.0, 0], [0, 3], [0, 3], [2, 0]]).view(4, 2, 1, 1)
    first, second = head()(x, [of_classes(0, 1), of_classes(0, 2)])
    expected = torch.sigmoid(torch.tensor([2.0, 3.0, 0.0, -2.0]))
    torch.testing.assert_close(torch.cat([first.actionness, second.actionness]), expected)


def test_general_actionness_is_one_for_all_classes() -> None:
    x = torch.tensor([[2.0, 0], [2, 0]]).view(2, 2, 1, 1)
    (found,) = head(class_specific=False)(x, [of_classes(0, 2)])
    torch.testing.assert_close(found.actionness, torch.sigmoid(torch.tensor([2.0, 2.0])))


def test_pooled_head_sees_means_whoever_takes_them() -> None:
    made = build_actionness_head(
        config("MODEL.ACTIONNESS.POOLED", True), ShapeSpec(channels=2, height=7, width=7)
    ).eval()
    assert made.fcs[0].in_features == 2
    nn.init.normal_(made.predictor.weight)
    x = torch.randn(3, 2, 7, 7)
    whole, taken = (made(f, [of_classes(0, 1, 2)])[0] for f in (x, pool_rois(x)))
    torch.testing.assert_close(whole.actionness, taken.actionness)
    torch.testing.assert_close(made.layers(x), made.layers(x.flip(2, 3)))


def test_loss_is_the_weighted_cross_entropy() -> None:
    x = torch.tensor([[2.0, 0], [0, 3]]).view(2, 2, 1, 1)
    found = of_classes(0, 1)
    found.gt_actionness, found.loss_weights = torch.tensor([1, 0]), torch.tensor([3.0, 1.0])
    losses = head().train()(x, [found])
    p, q = torch.sigmoid(torch.tensor(2.0)), torch.sigmoid(torch.tensor(3.0))
    torch.testing.assert_close(losses["loss_actionness"], (-3 * p.log() - (1 - q).log()) / 4)


def test_untrained_head_refines_nothing_and_says_a_half() -> None:
    made = build_actionness_head(config(), SHAPE).eval()
    assert made.threshold == 0
    (found,) = made(torch.randn(2, 2, 1, 1), [of_classes(0, 1)])
    assert found.actionness.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("training", [False, True])
def test_head_is_not_trained_with_the_detector(training: bool) -> None:
    model = make(config())
    assert not any(p.requires_grad for p in model.roi_heads.actionness_head.parameters())
    assert any(p.requires_grad for p in model.roi_heads.stage_heads.parameters())


def test_head_sees_the_message_or_not() -> None:
    """After cooperation the last stage's features are the target's plus the message."""
    model = make(config())
    heads = model.roi_heads
    seen = {}
    heads.register_forward_pre_hook(lambda _, arguments: seen.update(features=arguments[1]))
    found = detect(model, images=1)
    boxes = [Instances(x.image_size, proposal_boxes=x.pred_boxes) for x in found]
    after, before = (
        heads.actionness_features(seen["features"], boxes, kind)
        for kind in ("cooperation", "stream")
    )
    # Of two stages the last improves flow; the message comes from RGB.
    pyramid = [
        torch.cat([seen["features"][s][f] for s in ("rgb", "flow")]) for f in heads.box_in_features
    ]
    both = heads._pool(pyramid, {s: [boxes[0].proposal_boxes] for s in ("rgb", "flow")})
    assert torch.equal(before, both["flow"])
    assert torch.equal(after, heads.roi_messages[1](both["flow"], both["rgb"]))
    assert not torch.equal(after, before)


def test_baseline_looks_at_both_streams() -> None:
    model = make(config(stages=0))
    assert len(model.roi_heads.actionness_head.mean) == 2 * 16


def test_no_detections_have_no_actionness() -> None:
    model = make(config("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0))
    (found,) = detect(model, images=1)
    assert found.actionness.shape == (0,)


def test_unknown_features() -> None:
    with pytest.raises(ValueError, match=r"MODEL\.ACTIONNESS\.FEATURES.*'rgb'"):
        build_model(config("MODEL.ACTIONNESS.FEATURES", "rgb"))


def test_another_head_by_its_name() -> None:
    @ROI_ACTIONNESS_HEAD_REGISTRY.register()
    class AlwaysHead(nn.Module):
        def __init__(self, cfg: CfgNode, input_shape: ShapeSpec) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor, instances: list[Instances]) -> list[Instances]:
            for found in instances:
                found.actionness = found.scores.new_ones(len(found))
            return instances

    (found,) = detect(make(config("MODEL.ACTIONNESS.NAME", "AlwaysHead")), images=1)
    assert found.actionness.tolist() == [1.0] * len(found)
