"""Whether an exported network answers as the model does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pcsc_d2.export.network import Detected, Network
from pcsc_d2.models.info import ModelInfo

TOLERANCE = 1e-4
# Of features, which are in float16, as a share of their norm.
_OF_FEATURES = 1e-2


@torch.no_grad()
def difference(
    model: nn.Module, network: Network, info: ModelInfo, size: tuple[int, int] | None = None
) -> float:
    """The largest difference in boxes (pixels) and in all scores over noise of two sizes.

    Infinite where the number or the classes of detections differ.

    Args:
        size: height and width that the network takes, where it takes no other.
    """
    short, long = info.min_size, min(info.max_size, info.min_size * 4 // 3)
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for height, width in ((short, long), (long - 7, short)) if size is None else (size,):
        shape = (info.clip_length, height, width)
        rgb = torch.randint(0, 256, (2, 3, *shape), generator=generator, dtype=torch.uint8)
        flow = torch.randn(2, 2, *shape, generator=generator) * 3
        expected = model([{"rgb": r, "flow": f} for r, f in zip(rgb, flow)])
        for output, found in zip(expected, network(rgb, flow)):
            worst = max(worst, distance(output["instances"], found))
    return worst


def distance(expected: object, found: Detected) -> float:
    """Between Detectron2's ``Instances`` and what an exported network gives, of one image.

    Each detection is held against the nearest one of its class, in both directions: where scores
    are nearly the same, the order depends on rounding.
    """
    boxes, scores, classes, actionness, *more = (x.cpu() for x in found)
    expected = expected.to("cpu")
    if len(scores) != len(expected):
        return float("inf")
    if not len(scores):
        return 0.0
    columns = [boxes, scores[:, None]]
    others = [expected.pred_boxes.tensor, expected.scores[:, None]]
    if expected.has("actionness"):
        columns.append(actionness[:, None])
        others.append(expected.actionness[:, None])
    if expected.has("kinetics") and more:
        columns.append(more[0].softmax(dim=1))
        others.append(expected.kinetics.softmax(dim=1))
    if expected.has("tube_features") and not _alike(expected.tube_features, more[1:]):
        return float("inf")
    apart = torch.cat(columns, dim=1)[:, None] - torch.cat(others, dim=1)[None]
    apart = apart.abs().amax(dim=2)
    apart[classes[:, None] != expected.pred_classes[None]] = float("inf")
    return _farthest(apart)


def _alike(expected: torch.Tensor, found: Sequence[torch.Tensor]) -> bool:
    """Whether features in float16 are the same boxes', in any order, up to their rounding."""
    if not found or found[0].shape != expected.shape:
        return False
    apart = torch.cdist(expected.float(), found[0].float())
    allowed = _OF_FEATURES * (1 + expected.float().norm(dim=1).max())
    return _farthest(apart) <= float(allowed)


def _farthest(apart: torch.Tensor) -> float:
    """The largest distance to the nearest of the other set, of all distances (N, M), either way."""
    return float(max(apart.amin(dim=0).max(), apart.amin(dim=1).max()))
