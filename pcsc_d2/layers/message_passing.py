"""The message that one stream passes to the other (paper Section 3.3, Eq. 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

# The two, in the order in which the paper's stages improve them.
STREAMS = ("rgb", "flow")


class MessagePassing(nn.Module):
    """Refine the target stream's features by a message from the assistant's: ``f(a) + t``.

    ``f`` is two 1x1 convolutions with a ReLU between; the first reduces the channels, the second
    restores them. The restoring convolution starts at zero, so an untrained message changes
    nothing.

    Args:
        channels: channels C of both streams' features.
        reduction: the message has ``max(1, C // reduction)`` channels in between.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, kernel_size=1)
        self.restore = nn.Conv2d(hidden, channels, kernel_size=1)
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="relu")
        nn.init.zeros_(self.reduce.bias)
        nn.init.zeros_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)

    def forward(self, target: torch.Tensor, assistant: torch.Tensor) -> torch.Tensor:
        """Both inputs and the output are ``(N, C, H, W)``: feature maps or ROI features."""
        return target + self.restore(F.relu(self.reduce(assistant)))
