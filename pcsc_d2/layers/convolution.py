"""A 3-D convolution whose gradients are right on a CPU, whatever the clip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class SafeConv3d(nn.Conv3d):
    """``nn.Conv3d``; short clips are padded before it, and not by it, where a CPU trains.

    Padding them itself, oneDNN (PyTorch 2.14, AVX-512 BF16) takes memory that nobody wrote for a
    part of the weights' gradient: in bfloat16 with two slices under a kernel of three, as at c5 of
    16 frames, and in float32, too, with five to seven under S3D's first of seven. Weights are
    infinite within some steps, and now and then the process dies. In float32 kernels of three are
    right.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and x.device.type == "cpu" and self._goes_wrong(x):
            pads = [p for each in reversed(self.padding) for p in (each, each)]
            return F.conv3d(F.pad(x, pads), self.weight, self.bias, self.stride)
        return super().forward(x)

    def _goes_wrong(self, x: torch.Tensor) -> bool:
        """Whether the kernel, with its stride, reaches over all of the input along some axis."""
        if max(self.kernel_size) <= 3 and not torch.is_autocast_enabled("cpu"):
            return False
        sizes = zip(x.shape[-3:], self.kernel_size, self.stride)
        return any(n < kernel + stride - 1 for n, kernel, stride in sizes)
