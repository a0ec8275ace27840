"""Folded norms change nothing but rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import InceptionI3D, Unit3d


@pytest.mark.parametrize(("norm", "folded"), [("BN", 57), ("FrozenBN", 57), ("GN", 0)])
@torch.no_grad()
def test_answers_stay_the_same(norm: str, folded: int) -> None:
    torch.manual_seed(0)
    trunk = InceptionI3D(2, width=0.0625, norm=norm).eval()
    for module in trunk.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
            module.bias.normal_(std=0.2)
    clip = torch.rand(1, 2, 8, 64, 64) * 2 - 1
    expected = trunk(clip)
    assert fold_norms(trunk) == folded
    assert sum(isinstance(m.bn, nn.Identity) for m in trunk.modules() if isinstance(m, Unit3d)) == (
        folded
    )
    for level, found in trunk(clip).items():
        scale = expected[level].abs().max()
        torch.testing.assert_close(found / scale, expected[level] / scale, atol=1e-5, rtol=0)


class Conv2d(nn.Conv2d):
    """Holds its norm, as Detectron2's does."""

    def __init__(self, *args: int, bias: bool = True) -> None:
        super().__init__(*args, bias=bias)
        self.norm: nn.Module | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_norms_that_convolutions_hold(bias: bool) -> None:
    torch.manual_seed(0)
    conv = Conv2d(3, 5, 3, bias=bias)
    conv.norm = nn.BatchNorm2d(5)
    for values in (conv.norm.running_mean, conv.norm.weight, conv.norm.bias):
        values.normal_()
    conv.norm.running_var.uniform_(0.5, 2)
    network, x = nn.Sequential(conv, Conv2d(5, 2, 1)).eval(), torch.randn(2, 3, 8, 8)
    expected = network(x)
    assert fold_norms(network) == 1
    assert conv.norm is None
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)
