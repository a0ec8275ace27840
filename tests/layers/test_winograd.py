"""Winograd's convolutions give what torch's do."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import Conv2d
from torch import nn

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.winograd import WinogradConv, suits, use_winograd


@pytest.mark.parametrize(
    ("clips", "length", "height", "width"),
    [(1, 8, 16, 20), (2, 2, 7, 9), (2, 1, 1, 3), (1, 40, 8, 8)],
)
@torch.no_grad()
def test_3d_as_in_torch(clips: int, length: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(5, 6, 3, padding=1)
    x = torch.randn(clips, 5, length, height, width)
    expected = conv(x)
    for given in (x, x.contiguous(memory_format=torch.channels_last_3d)):
        torch.testing.assert_close(WinogradConv(conv)(given), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_2d_as_in_torch(bias: bool) -> None:
    torch.manual_seed(0)
    conv = Conv2d(8, 12, 3, padding=1, bias=bias, activation=nn.ReLU())
    x = torch.randn(3, 8, 30, 40)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=2e-5, rtol=1e-4)


def test_what_suits() -> None:
    assert suits(nn.Conv3d(64, 64, 3, padding=1), 64)
    others = [
        nn.Conv3d(32, 64, 3, padding=1),
        nn.Conv3d(64, 64, 3),
        nn.Conv3d(64, 64, 3, padding=1, stride=2),
        nn.Conv3d(64, 64, (1, 3, 3), padding=1),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
        Conv2d(64, 64, 3, padding=1, norm=nn.BatchNorm2d(64)),
        nn.Linear(64, 64),
    ]
    assert not any(suits(each, 64) for each in others)
    network = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.Sequential(*others))
    assert use_winograd(network) == 1
    assert isinstance(network[0], WinogradConv)


@torch.no_grad()
def test_a_trunk_as_in_torch() -> None:
    torch.manual_seed(0)
    trunk = InceptionI3D(3, width=0.0625, norm="FrozenBN").eval()
    clip = torch.rand(1, 3, 16, 64, 96) * 2 - 1
    expected = trunk(clip)
    assert use_winograd(trunk, least_channels=1) == 19
    for level, found in trunk(clip).items():
        torch.testing.assert_close(found, expected[level], atol=1e-4, rtol=1e-4)
