"""Gradients of convolutions over short clips on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pcsc_d2.layers.convolution import SafeConv3d

THREE = (32, 64, (3, 3, 3), (1, 1, 1), (1, 1, 1))
SEVEN = (64, 64, (7, 1, 1), (2, 1, 1), (3, 0, 0))


def gradients(conv: nn.Conv3d, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    conv.weight.grad, x.grad = None, None
    conv(x).float().square().sum().backward()
    return conv.weight.grad, x.grad


def expected_gradients(conv: nn.Conv3d, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of the same convolution of twice the clip's size, in zeros: oneDNN has nothing to pad."""
    time, height, width = x.shape[-3:]
    pads = [p for each in reversed(conv.padding) for p in (each, each + 2 * 8)]
    whole = nn.functional.pad(x, pads)
    y = nn.functional.conv3d(whole, conv.weight, None, conv.stride)
    sizes = [(n + 2 * p - k) // s + 1 for n, p, k, s in
             zip((time, height, width), conv.padding, conv.kernel_size, conv.stride)]  # fmt: skip
    y[:, :, : sizes[0], : sizes[1], : sizes[2]].square().sum().backward()
    return conv.weight.grad, x.grad


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("arguments", "frames"), [(THREE, t) for t in (1, 2, 4)] + [(SEVEN, t) for t in (4, 5, 6, 7, 8)]
)
def test_gradients_of_short_clips(arguments: tuple, frames: int, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    *sizes, kernel, stride, padding = arguments
    conv = SafeConv3d(*sizes, kernel, stride, padding, bias=False)
    x = torch.randn(4, sizes[0], frames, 8, 8).requires_grad_()
    expected = [g.clone() for g in expected_gradients(conv, x)]
    for _ in range(4):
        # What is freed here is what an uninitialised buffer would hold.
        freed = [torch.full((n,), 3e38) for n in (1_000, 10_000, 50_000, 100_000, 300_000)]
        del freed
        with torch.autocast("cpu", kind, enabled=kind != torch.float32):
            found = gradients(conv, x)
        for one, other in zip(found, expected):
            assert (one - other).norm() < 0.02 * other.norm()


@torch.no_grad()
@pytest.mark.parametrize("arguments", [THREE, SEVEN])
@pytest.mark.parametrize("frames", [1, 2, 5, 7])
def test_answers_as_any_convolution(arguments: tuple, frames: int) -> None:
    *sizes, kernel, stride, padding = arguments
    conv = SafeConv3d(*sizes, kernel, stride, padding)
    x = torch.randn(2, sizes[0], frames, 4, 4)
    with torch.enable_grad():
        padded = conv(x)
    torch.testing.assert_close(padded, conv(x))
    torch.testing.assert_close(padded, nn.Conv3d.forward(conv, x))
