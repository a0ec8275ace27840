"""Segments of a tube: overlap, suppression, pooling, and proposals from scores of frames.

A segment is (start, end) in frames of its tube: frame k of L, 0-based, reaches from k to k + 1, so
that the whole tube is (0, L).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def segment_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """IoU (R, S) of segments (R, 2) with segments (S, 2)."""
    start = torch.maximum(first[:, None, 0], second[None, :, 0])
    end = torch.minimum(first[:, None, 1], second[None, :, 1])
    common = (end - start).clamp(min=0)
    lengths = (first[:, 1] - first[:, 0])[:, None] + (second[:, 1] - second[:, 0])[None]
    return common / (lengths - common).clamp(min=1e-6)


def keep_best(segments: torch.Tensor, scores: torch.Tensor, iou: float, topk: int) -> torch.Tensor:
    """Positions (K,) of the segments (S, 2) that suppression leaves, best first.

    A segment goes if a better one that stays overlaps it by more than ``iou``.
    """
    order = scores.argsort(descending=True, stable=True)
    over = segment_iou(segments[order], segments[order]) > iou
    kept: list[int] = []
    for i in range(len(order)):
        if len(kept) == topk:
            break
        if not over[i, kept].any():
            kept.append(i)
    return order[kept]


def runs_over(scores: torch.Tensor, thresholds: Sequence[float], shortest: int) -> torch.Tensor:
    """The runs (S, 2) of frames whose scores (L,) reach any of the thresholds, each run once.

    Args:
        shortest: runs of fewer frames are left out.
    """
    found = []
    for threshold in thresholds:
        inside = torch.nn.functional.pad((scores >= threshold).int(), (1, 1))
        change = inside[1:] - inside[:-1]
        found.append(
            torch.stack([(change == 1).nonzero()[:, 0], (change == -1).nonzero()[:, 0]], 1)
        )
    runs = torch.cat(found).unique(dim=0)
    return runs[runs[:, 1] - runs[:, 0] >= shortest].to(scores.dtype)


def pool_segments(
    features: torch.Tensor, segments: torch.Tensor, bins: int, context: float = 0.5
) -> torch.Tensor:
    """Features (C, L) of a tube at evenly spread places of segments (S, 2): (S, C, bins).

    Segments are widened by ``context`` of their length at either end, for a boundary shows beside
    it; places between frames are interpolated, those beyond the tube have its outermost frame.
    """
    length = (segments[:, 1] - segments[:, 0])[:, None]
    steps = (torch.arange(bins, device=features.device) + 0.5) / bins
    at = segments[:, :1] - context * length + steps * (1 + 2 * context) * length - 0.5
    at = at.clamp(0, features.shape[1] - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=features.shape[1] - 1)
    share = (at - low).to(features.dtype)
    values = features[:, low] * (1 - share) + features[:, high] * share
    return values.transpose(0, 1)
