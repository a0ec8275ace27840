"""Which engine a config's trunks run on, and that a prepared model answers as before."""

from __future__ import annotations

import logging
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.light_mixed import LightMixed
from pcsc_d2.layers.roi_sums import ROISums
from pcsc_d2.layers.winograd import WinogradConv
from pcsc_d2.modeling import inference
from pcsc_d2.modeling.inference import (
    LEAST_WIDTH,
    engine_for,
    prepare_for_inference,
    prepare_trunk,
)
from pcsc_d2.runtime import Engine, EngineError, choice
from tests.export.clips import real_clips
from tests.tiny import tiny_config, tiny_input


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("trunk", "width", "name"),
    [
        ("s3d", LEAST_WIDTH / 2, "torch"),
        ("s3d", 1.0, "openvino"),
        ("i3d", LEAST_WIDTH / 2, "torch"),
        ("i3d", 1.0, "torch"),
    ],
)
def test_auto_takes_the_fastest(trunk: str, width: float, name: str) -> None:
    options = ["MODEL.I3D.WIDTH", width, "MODEL.BACKBONE.NAME", f"build_{trunk}_fpn_backbone"]
    cfg = tiny_config(options)
    assert engine_for(cfg, "auto") == Engine(name)
    assert engine_for(cfg, "onnxruntime") == Engine("onnxruntime")
    assert engine_for(cfg, "torch") == Engine()


def test_auto_is_torch_on_a_gpu() -> None:
    cfg = tiny_config(["MODEL.I3D.WIDTH", 1.0, "MODEL.DEVICE", "cuda"])
    assert engine_for(cfg, "auto") == Engine()


@torch.no_grad()
def test_torch_takes_the_place_of_an_engine_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot(*_: object) -> None:
        raise EngineError("openvino cannot run the graph: why")

    monkeypatch.setattr(inference, "compile_trunk", cannot)
    trunk = InceptionI3D(3, width=0.0625).eval()
    clip = torch.rand(1, 3, 4, 32, 32)
    expected = trunk(clip)["c5"]
    with pytest.raises(EngineError, match="cannot run the graph"):
        prepare_trunk(trunk, 4, Engine("openvino"))
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        assert prepare_trunk(trunk, 4, Engine("openvino"), required=False) == Engine()
    assert "cannot run the graph: why; torch runs the trunk" in caplog.text
    torch.testing.assert_close(trunk(clip)["c5"], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stages", [0, 4])
@torch.no_grad()
def test_lighter_layers_detect_the_same(stages: int) -> None:
    torch.manual_seed(0)
    options = ["MODEL.FPN.OUT_CHANNELS", 64, "MODEL.I3D.NORM", "FrozenBN"]
    model = build_model(tiny_config([*options, "MODEL.COOPERATION.NUM_STAGES", stages])).eval()
    lighter = deepcopy(model)
    prepare_for_inference(lighter, 8, Engine())
    kinds = [type(module) for module in lighter.modules()]
    # In either stream four levels, an RPN and two in each Inception block; a level that the heads
    # pool from.
    assert kinds.count(WinogradConv) == 2 * (4 + 1 + 2 * 9)
    assert kinds.count(LightMixed) == 2 * 9
    assert kinds.count(ROISums) == 4
    compare(model, lighter, [tiny_input(0), tiny_input(1)])


@torch.no_grad()
def test_lighter_layers_on_real_clips_of_two_sizes(real_data: Path) -> None:
    torch.manual_seed(0)
    options = ["MODEL.FPN.OUT_CHANNELS", 64, "MODEL.I3D.NORM", "FrozenBN", "MODEL.I3D.WIDTH", 0.25]
    model = build_model(tiny_config([*options, "MODEL.COOPERATION.NUM_STAGES", 4])).eval()
    lighter = deepcopy(model)
    prepare_for_inference(lighter, 8, Engine())
    for clip in real_clips(real_data, 8):
        (_, ours), (_, theirs) = (each.extract_maps([clip]) for each in (lighter, model))
        for stream, levels in theirs.items():
            for level, expected in levels.items():
                difference = (ours[stream][level] - expected).abs().max()
                assert difference < 1e-4 * expected.abs().max()
        compare(model, lighter, [clip])


def compare(model: nn.Module, lighter: nn.Module, inputs: list[dict]) -> None:
    """That both detect the same."""
    for expected, found in zip(model(inputs), lighter(inputs)):
        expected, found = expected["instances"], found["instances"]
        assert len(found) == len(expected) > 0
        torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-4)
        boxes = found.pred_boxes.tensor
        torch.testing.assert_close(boxes, expected.pred_boxes.tensor, atol=1e-2, rtol=1e-4)
        assert torch.equal(found.pred_classes, expected.pred_classes)
