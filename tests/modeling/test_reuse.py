"""The ROI heads and the message block, taken into another model (docs/pages/detectron2.md)."""

from __future__ import annotations

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_roi_heads
from detectron2.structures import Boxes, ImageList, Instances

from pcsc_d2.layers import MessagePassing
from tests.tiny import tiny_config

SIZE = (64, 96)


def proposals() -> list[Instances]:
    boxes = torch.tensor([[4.0, 4.0, 30.0, 50.0], [40.0, 10.0, 80.0, 60.0]])
    return [Instances(SIZE, proposal_boxes=Boxes(boxes), objectness_logits=torch.zeros(2))]


def test_heads_on_any_two_pyramids() -> None:
    cfg = tiny_config(["MODEL.COOPERATION.NUM_STAGES", 4])
    shapes = {f"p{n}": ShapeSpec(channels=16, stride=2**n) for n in (2, 3, 4, 5)}
    heads = build_roi_heads(cfg, shapes).eval()
    images = ImageList.from_tensors([torch.zeros(3, *SIZE)])
    pyramids = [
        {k: torch.randn(1, 16, SIZE[0] // s.stride, SIZE[1] // s.stride) for k, s in shapes.items()}
        for _ in range(2)
    ]
    stages, losses = heads(
        images,
        dict(zip(("rgb", "flow"), pyramids)),
        {"rgb": proposals(), "flow": proposals()},
    )
    assert losses == {}
    assert len(stages) == 1
    (detections,) = stages[-1]
    assert detections.has("scores")
    assert len(detections) > 0


def test_message_between_any_two_features() -> None:
    color, depth = torch.randn(2, 1, 256, 12, 16).unbind(0)
    assert MessagePassing(channels=256)(color, depth).shape == color.shape
