"""Pooling axis by axis gives exactly what torch's pooling does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pcsc_d2.layers.i3d import MaxPool3dSame, Triple
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


@pytest.mark.parametrize(
    ("kernel", "stride"), [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))]
)
@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (1, 2, 3)])
def test_with_strides_as_the_trunk_pools(kernel: Triple, stride: Triple, size: Triple) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size).relu()
    expected = MaxPool3dSame(kernel, stride)(x)
    for given in (x, x.contiguous(memory_format=torch.channels_last_3d)):
        assert torch.equal(AxisMaxPool3d(kernel, stride)(given), expected)
