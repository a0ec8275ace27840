"""The head that looks at the mean of the ROI features besides."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads.box_head import build_box_head
from detectron2.utils.events import EventStorage

from tests.tiny import tiny_config, tiny_input

MEAN = ["MODEL.ROI_BOX_HEAD.NAME", "ConvFCMeanHead"]


@pytest.mark.parametrize("convolutions", [0, 1])
def test_means_stand_behind_what_the_layers_say(convolutions: int) -> None:
    torch.manual_seed(0)
    options = ["MODEL.ROI_BOX_HEAD.NUM_CONV", convolutions, "MODEL.ROI_BOX_HEAD.CONV_DIM", 5]
    head, plain = (
        build_box_head(tiny_config([*options, *name]), ShapeSpec(channels=3, height=7, width=7))
        for name in (MEAN, [])
    )
    assert head.output_shape.channels == 16 + 3
    plain.load_state_dict(head.state_dict())
    x = torch.arange(2 * 3 * 49.0).view(2, 3, 7, 7) / 100
    found = head(x)
    torch.testing.assert_close(found[:, :16], plain(x))
    # 0 to 48 in the first map of the first box: 24 on average.
    expected = torch.tensor([[0.24, 0.73, 1.22], [1.71, 2.20, 2.69]])
    torch.testing.assert_close(found[:, 16:], expected)


def test_trains_in_every_stage() -> None:
    model = build_model(tiny_config([*MEAN, "MODEL.COOPERATION.NUM_STAGES", 2]))
    with EventStorage():
        losses = model([tiny_input(0), tiny_input(1)])
    sum(losses.values()).backward()
    heads = [*model.roi_heads.stage0_heads.values(), *model.roi_heads.stage_heads]
    for head in heads:
        assert head.predictor.cls_score.weight.shape == (5, 32)
        assert head.predictor.cls_score.weight.grad[:, 16:].abs().sum() > 0
