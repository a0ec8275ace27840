from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_model

from pcsc_d2 import add_pcsc_config
from tests.tiny import tiny_config


def test_levels_of_the_pyramid() -> None:
    backbone = build_backbone(tiny_config(), ShapeSpec(channels=2))
    pyramid = backbone(torch.randn(1, 2, 8, 64, 96))
    shapes = backbone.output_shape()
    assert list(pyramid) == ["p2", "p3", "p4", "p5", "p6"]
    for level, features in pyramid.items():
        stride = shapes[level].stride
        assert features.shape == (1, 16, -(-64 // stride), -(-96 // stride))


def test_trunk_and_top_down_apart_are_the_whole() -> None:
    backbone = build_backbone(tiny_config(), ShapeSpec(channels=3)).eval()
    clip = torch.randn(1, 3, 8, 64, 64)
    apart = backbone.top_down(backbone.bottom_up(clip))
    whole = backbone(clip)
    assert all(torch.equal(apart[k], whole[k]) for k in whole)


def test_pyramid_without_the_lowest_level() -> None:
    backbone = build_backbone(
        tiny_config(["MODEL.FPN.IN_FEATURES", ["c3", "c4", "c5"]]), ShapeSpec(channels=3)
    )
    pyramid = backbone(torch.randn(1, 3, 8, 64, 64))
    assert {k: x.shape[-1] for k, x in pyramid.items()} == {"p3": 8, "p4": 4, "p5": 2, "p6": 1}


@pytest.mark.parametrize("levels", [["c3", "c4"], ["c2", "c4", "c5"], ["res5"]])
def test_levels_end_at_c5(levels: list[str]) -> None:
    with pytest.raises(ValueError, match=r"MODEL\.FPN\.IN_FEATURES"):
        build_backbone(tiny_config(["MODEL.FPN.IN_FEATURES", levels]), ShapeSpec(channels=3))


def test_dropout_leaves_out_channels_in_training_alone() -> None:
    backbone = build_backbone(tiny_config(["MODEL.FPN.DROPOUT", 0.5]), ShapeSpec(channels=3))
    maps = {
        k: torch.ones(1, s.channels, 8, 8) for k, s in backbone.bottom_up.output_shape().items()
    }
    given = backbone.top_down.bottom_up
    for x in given(maps).values():
        assert {*x.flatten().tolist()} == {0.0, 2.0}
        assert all(len(channel.unique()) == 1 for channel in x[0])
    assert all(torch.equal(x, maps[k]) for k, x in given.eval()(maps).items())


def test_time_pool() -> None:
    clip = torch.randn(1, 3, 16, 32, 32)
    for pool, expected in (
        ("mean", lambda x: x.mean(2)),
        ("middle", lambda x: x[:, :, x.shape[2] // 2]),
    ):
        bottom_up = build_backbone(
            tiny_config(["MODEL.I3D.TIME_POOL", pool]), ShapeSpec(channels=3)
        ).bottom_up.eval()
        taps = bottom_up.trunk(clip)
        pooled = bottom_up(clip)
        assert all(torch.equal(pooled[k], expected(taps[k])) for k in taps)


def test_serves_one_stream_of_another_model() -> None:
    # Detectron2's own RPN network, which knows nothing of clips but takes any backbone.
    cfg = get_cfg()
    add_pcsc_config(cfg)
    tiny = tiny_config()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.I3D, cfg.MODEL.FPN = tiny.MODEL.I3D, tiny.MODEL.FPN
    cfg.MODEL.BACKBONE.NAME = "build_i3d_fpn_backbone"
    cfg.MODEL.META_ARCHITECTURE = "ProposalNetwork"
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    model = build_model(cfg).eval()
    # Its pixel mean broadcasts over (C, 1, H, W) clips of one frame.
    model.pixel_mean, model.pixel_std = model.pixel_mean[:, None], model.pixel_std[:, None]
    output = model([{"image": torch.rand(3, 8, 64, 64) * 255, "height": 64, "width": 64}])
    assert len(output[0]["proposals"]) > 0
