"""The classifier of the Kinetics weights, for actors instead of whole clips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.i3d import STRIDES

WEIGHT, BIAS = "logits.conv3d.weight", "logits.conv3d.bias"


class KineticsClassifier(nn.Module):
    """c5 of the Kinetics trunk, averaged over an actor's box -> logits of the 400 classes.

    Args:
        weights: that trunk's, with its classifier ``logits.conv3d.{weight, bias}``.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights[WEIGHT].flatten(1), requires_grad=False)
        self.bias = nn.Parameter(weights[BIAS], requires_grad=False)

    def forward(self, c5: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Logits (n, 400).

        Args:
            c5: (C, H, W), with time pooled.
            boxes: (n, 4) x1 y1 x2 y2 in pixels of the clip.
        """
        cells = F.linear(c5.flatten(1).permute(1, 0), self.weight, self.bias)
        shares = cell_shares(boxes, c5.shape[1], c5.shape[2], STRIDES["c5"][1])
        return F.linear(shares.flatten(1), cells.permute(1, 0))


def cell_shares(boxes: torch.Tensor, height: int, width: int, stride: int) -> torch.Tensor:
    """The shares (n, height, width) of a map's cells in boxes, which sum to 1.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 in pixels; of one that lies beyond the map all are 0.
        stride: pixels between the cells.
    """
    x1, y1, x2, y2 = (boxes[:, i, None] for i in range(4))
    rows = torch.arange(height, device=boxes.device) * stride
    columns = torch.arange(width, device=boxes.device) * stride
    down = (y2 - rows).clamp(0, stride) - (y1 - rows).clamp(0, stride)
    across = (x2 - columns).clamp(0, stride) - (x1 - columns).clamp(0, stride)
    areas = down[:, :, None] * across[:, None]
    mean = areas.flatten(1).mean(dim=1)[:, None, None]
    return areas / mean.clamp(min=1e-6) / (height * width)
