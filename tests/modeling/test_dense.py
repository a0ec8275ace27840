"""Dense video mode against clip by clip, on a tiny model."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.modeling.dense import DenseDetector
from tests.tiny import tiny_config, tiny_input

PCSC = ["MODEL.COOPERATION.NUM_STAGES", 2, "MODEL.COOPERATION.IMAGE_MESSAGES", True]
KEYS = [18, 19, 24, 30]


def make(options: list) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    # Group norm takes its statistics from all frames that it sees.
    model = build_model(tiny_config([*PCSC, "MODEL.I3D.NORM", "BN", *options])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    clips = [tiny_input(seed) for seed in range(6)]
    rgb, flow = (torch.cat([clip[key] for clip in clips], dim=1) for key in ("rgb", "flow"))
    return model, rgb, flow


def alone(model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int) -> list:
    spans = [slice(k - length // 2, k - length // 2 + length) for k in KEYS]
    inputs = [{"rgb": rgb[:, s], "flow": flow[:, s], "height": 128, "width": 180} for s in spans]
    return [output["instances"] for output in model(inputs)]


def distance(found: list[dict], expected: list) -> float:
    """Of the best detections: further down, rounding decides which of two boxes is kept."""
    pairs = [(x["instances"], y) for x, y in zip(found, expected)]
    assert len(found) == len(expected)
    assert all(x.image_size == y.image_size for x, y in pairs)
    differences = [x.pred_boxes.tensor[:3] - y.pred_boxes.tensor[:3] for x, y in pairs]
    return max(float(d.abs().max()) for d in differences)


@pytest.mark.parametrize(
    ("options", "length", "share"),
    [
        ([], 8, ""),
        (["MODEL.FLOW.SOURCE", "rgb", "MODEL.I3D.FEATURES", "cached"], 8, ""),
        (["MODEL.I3D.CONTEXT", 10, "INPUT.CLIP_LENGTH", 28], 28, "c2"),
        (["MODEL.I3D.CONTEXT", 10, "INPUT.CLIP_LENGTH", 28], 28, "c3"),
    ],
)
def test_gives_what_the_clips_give(options: list, length: int, share: str) -> None:
    model, rgb, flow = make(options)
    expected = alone(model, rgb, flow, length)
    assert min(len(x) for x in expected) > 0
    detector = DenseDetector(model, length, Sharing(share, 1), batch=3)
    assert distance(detector.detect_window(rgb, flow, KEYS, (128, 180)), expected) < 1e-3


def test_without_context_borders_see_what_is_there() -> None:
    model, rgb, flow = make([])
    found = DenseDetector(model, 8, Sharing("c3", 1)).detect_window(rgb, flow, [*KEYS], (128, 180))
    features = [x["instances"].scores for x in found]
    expected = [x.scores for x in alone(model, rgb, flow, 8)]
    assert any(not torch.allclose(a[:5], b[:5], atol=1e-6) for a, b in zip(features, expected))


def test_clips_of_a_length_that_cannot_be_shared_are_refused() -> None:
    model, *_ = make([])
    with pytest.raises(ValueError, match="12 frames cannot share up to c5"):
        DenseDetector(model, 12, Sharing("c5"))
