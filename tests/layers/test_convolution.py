"""Convolutions in bfloat16 on a CPU."""

from __future__ import annotations

import pytest
import torch

from pcsc_d2.layers.convolution import SafeConv3d


def _gradient(conv: SafeConv3d, x: torch.Tensor) -> torch.Tensor:
    conv.weight.grad = None
    conv(x).float().square().sum().backward()
    return conv.weight.grad


@pytest.mark.parametrize("size", [(2, 8, 8), (3, 2, 8), (1, 4, 5), (4, 8, 8)])
def test_gradients_in_bfloat16_are_those_in_float32(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    conv = SafeConv3d(32, 64, 3, padding=1, bias=False)
    x = torch.randn(8, 32, *size)
    expected = _gradient(conv, x)
    for _ in range(8):
        # What is freed here is what an uninitialised buffer would hold.
        freed = [torch.full((n,), 3e38) for n in (1_000, 10_000, 50_000, 100_000, 300_000)]
        del freed
        with torch.autocast("cpu", torch.bfloat16):
            found = _gradient(conv, x)
        assert (found - expected).norm() < 0.02 * expected.norm()


def test_only_small_clips_leave_bfloat16() -> None:
    conv = SafeConv3d(2, 3, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.ones(1, 2, 3, 3, 3)).dtype == torch.bfloat16
        assert conv(torch.ones(1, 2, 2, 3, 3)).dtype == torch.float32
    assert conv(torch.ones(1, 2, 2, 3, 3)).dtype == torch.float32
