"""Sums over cells give what ROIAlign does, at the borders too."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ROIAlign

from pcsc_d2.layers.roi_sums import ROISums

EDGES = [
    [0, 0.0, 0.0, 320.0, 240.0],
    [1, 310.0, 230.0, 320.0, 240.0],
    [0, -8.0, -9.0, 5.0, 3.0],
    [1, 300.0, 200.0, 350.0, 260.0],
    [0, 20.0, 20.0, 20.0, 60.0],
    [1, 33.3, 44.4, 33.9, 44.9],
]


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("scale", [0.25, 1 / 32])
@torch.no_grad()
def test_as_roi_align(scale: float, sampling_ratio: int) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 16, int(240 * scale), int(320 * scale))
    corners = torch.rand(50, 2) * torch.tensor([260.0, 180.0])
    sizes = torch.rand(50, 2) * 100
    numbers = torch.arange(50)[:, None] % 2
    boxes = torch.cat([torch.cat([numbers, corners, corners + sizes], 1), torch.tensor(EDGES)])
    expected = ROIAlign((7, 7), scale, sampling_ratio, aligned=True)(maps, boxes)
    sums = ROISums((7, 7), scale, sampling_ratio)
    for given in (maps, maps.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(sums(given, boxes), expected, atol=1e-4, rtol=1e-4)
    assert sums(maps, boxes[:0]).shape == (0, 16, 7, 7)
