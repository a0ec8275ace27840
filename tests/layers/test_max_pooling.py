"""Pooling axis by axis gives exactly what torch's pooling does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pcsc_d2.layers.max_pooling import AxisMaxPool3d


@pytest.mark.parametrize("size", [(4, 6, 7), (1, 1, 5), (2, 2, 1)])
def test_as_in_torch(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size)
    kept = x.clone()
    expected = nn.MaxPool3d(3, stride=1, padding=1)(x)
    for given in (x, x.contiguous(memory_format=torch.channels_last_3d)):
        assert torch.equal(AxisMaxPool3d()(given), expected)
    assert torch.equal(x, kept)
