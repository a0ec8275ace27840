"""What a stream does to a clip before its trunk sees it."""

from __future__ import annotations

import torch


def normalise(
    clip: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    bounded: bool,
    differences: bool,
) -> torch.Tensor:
    """(clip - mean) / std.

    Args:
        clip: (..., C, T, H, W) float32.
        mean, std: (C, 1, 1, 1).
        bounded: cut to [-1, 1].
        differences: of what changes from each frame to the next, not of the frames. T stays: in
            the last one nothing changes.
    """
    if differences:
        following = torch.cat([clip[..., 1:, :, :], clip[..., -1:, :, :]], dim=-3)
        clip = following - clip
    clip = (clip - mean) / std
    return clip.clamp(-1, 1) if bounded else clip
