"""A 3-D convolution that is right in mixed precision on a CPU too."""

from __future__ import annotations

import torch
from torch import nn


class SafeConv3d(nn.Conv3d):
    """``nn.Conv3d``; in float32 where the clip is shorter or smaller than the kernel.

    There oneDNN's gradient in bfloat16 (PyTorch 2.14, AVX-512 BF16) takes memory that nobody wrote
    for a part of it: with two slices under a kernel of three, as at c5 of 16 frames, weights are
    infinite within some steps, and now and then the process dies.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") and x.device.type == "cpu" and self._exceeds(x):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)

    def _exceeds(self, x: torch.Tensor) -> bool:
        """Whether the kernel is longer than the input along some axis."""
        return any(n < k for n, k in zip(x.shape[-3:], self.kernel_size))
