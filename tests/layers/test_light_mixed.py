"""Lighter layers of a trunk give what its own give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import Mixed
from pcsc_d2.layers.light_mixed import LightMixed, is_folded
from pcsc_d2.layers.pointwise import PointwiseConv, is_pointwise, use_products


def block(norm: str = "BN") -> Mixed:
    torch.manual_seed(0)
    mixed = Mixed(24, (8, 12, 20, 4, 8, 16), norm).eval()
    for module in mixed.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return mixed


@pytest.mark.parametrize("size", [(2, 4, 12, 16), (1, 3, 7, 10), (3, 1, 2, 2)])
@torch.no_grad()
def test_a_block_as_in_torch(size: tuple[int, int, int, int]) -> None:
    mixed = block()
    x = torch.randn(size[0], 24, *size[1:])
    expected = mixed(x)
    fold_norms(mixed)
    light = LightMixed(mixed)
    for given in (x, x.contiguous(memory_format=torch.channels_last_3d)):
        kept = given.clone()
        torch.testing.assert_close(light(given), expected, atol=1e-4, rtol=1e-4)
        assert torch.equal(given, kept)


def test_norms_that_depend_on_the_input_stay() -> None:
    mixed = block("GN")
    fold_norms(mixed)
    assert not is_folded(mixed)
    assert not is_folded(block())
    assert not is_folded(nn.ReLU())


@torch.no_grad()
def test_products_as_in_torch() -> None:
    torch.manual_seed(0)
    conv, image = nn.Conv3d(6, 5, 1), nn.Conv2d(6, 5, 1, bias=False)
    x = torch.randn(2, 6, 3, 4, 5)
    torch.testing.assert_close(PointwiseConv(conv)(x), conv(x), atol=1e-5, rtol=1e-4)
    flat = x[:, :, 0]
    torch.testing.assert_close(PointwiseConv(image)(flat), image(flat), atol=1e-5, rtol=1e-4)
    others = [nn.Conv2d(6, 6, 1, stride=2), nn.Conv2d(6, 6, 1, groups=2), nn.Conv2d(6, 6, 3)]
    assert not any(is_pointwise(each) for each in others)
    assert use_products(nn.Sequential(conv, *others)) == 1
