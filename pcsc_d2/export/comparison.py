"""Whether an exported network answers as the model does."""

from __future__ import annotations

import torch
from torch import nn

from pcsc_d2.export.network import Detected
from pcsc_d2.models.info import ModelInfo

TOLERANCE = 1e-4


@torch.no_grad()
def difference(model: nn.Module, network: nn.Module, info: ModelInfo) -> float:
    """The largest difference in boxes (pixels), scores and actionness over noise of two sizes.

    Infinite where the number or the classes of detections differ.
    """
    short, long = info.min_size, min(info.max_size, info.min_size * 4 // 3)
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for height, width in ((short, long), (long - 7, short)):
        shape = (info.clip_length, height, width)
        rgb = torch.randint(0, 256, (2, 3, *shape), generator=generator, dtype=torch.uint8)
        flow = torch.randn(2, 2, *shape, generator=generator) * 3
        expected = model([{"rgb": r, "flow": f} for r, f in zip(rgb, flow)])
        for output, found in zip(expected, network(rgb, flow)):
            worst = max(worst, distance(output["instances"], found))
    return worst


def distance(expected: object, found: Detected) -> float:
    """Between Detectron2's ``Instances`` and what an exported network gives, of one image."""
    boxes, scores, classes, actionness = (x.cpu() for x in found)
    expected = expected.to("cpu")
    if len(scores) != len(expected) or not torch.equal(classes, expected.pred_classes):
        return float("inf")
    pairs = [(boxes, expected.pred_boxes.tensor), (scores, expected.scores)]
    if expected.has("actionness"):
        pairs.append((actionness, expected.actionness))
    return max([float((a - b).abs().max()) for a, b in pairs if len(a)], default=0.0)
