"""The stage loop in time: P_t^i = B_{t-2}^i u B_{t-1}^j, with segments in the place of boxes.

    features of a tube's boxes, by stream -> convolution over time -> actionness of every frame
    stage 0   runs of frames over thresholds -> head -> B_0^rgb, B_0^flow
    stage t   P_t^i from both streams' latest segments; F_t = pooled^i + message(pooled^j);
              head_t(F_t) -> scores and refined boundaries B_t^i      i is rgb at odd t, then flow

After Su, Xu, Zhou and Ouyang (arXiv 1905.11575v2), whose abstract says that segment proposals and
features of either stream help the other, stage by stage; sizes and rules are this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.message_passing import STREAMS, MessagePassing
from pcsc_d2.layers.segments.segments import keep_best, pool_segments, runs_over, segment_iou

BINS = 16
THRESHOLDS = (0.2, 0.35, 0.5, 0.65, 0.8)
SHORTEST = 3
# Of segments: own and other stream's as proposals, and what is found in the end.
OWN_IOU, CROSS_IOU, FINAL_IOU = 0.7, 0.5, 0.4
TOPK = 8
POSITIVE_IOU = 0.5
# Of any size, and of stages; more cannot be meant.
_MOST, _MOST_STAGES = 1 << 20, 100


class TubeRows(Protocol):
    """What is asked of ``pcsc_d2.tubes.Tubes``: the class of each, and where its boxes begin."""

    classes: np.ndarray
    ptr: np.ndarray


class Found(NamedTuple):
    """What a head says: refined segments (S, 2) and logits (S,) of the tube's class."""

    segments: torch.Tensor
    logits: torch.Tensor


class SegmentLosses(NamedTuple):
    """Of one tube, each ()."""

    frames: torch.Tensor
    scores: torch.Tensor
    boundaries: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.frames + self.scores + self.boundaries


class SegmentHead(nn.Module):
    """Pooled features (S, D, BINS) -> logits (S, N) and shifts (S, 2) of start and end, in
    lengths."""

    def __init__(self, channels: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels * BINS, hidden)
        self.scores = nn.Linear(hidden, num_classes)
        self.shifts = nn.Linear(hidden, 2)
        nn.init.zeros_(self.shifts.weight)
        nn.init.zeros_(self.shifts.bias)

    def forward(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu(self.hidden(pooled.flatten(1)))
        return self.scores(x), self.shifts(x)


@dataclass(frozen=True)
class SegmentSizes:
    """Of a ``SegmentCooperation``.

    Attributes:
        channels: C of a box's feature in either stream.
        num_classes: N; each has logits of its own.
        stages: after stage 0.
        width: D, of the features over time.
        hidden: of the heads.
        exchange: False is the control: as many stages, each stream keeping to itself.

    Raises:
        ValueError: one that cannot be.
    """

    channels: int
    num_classes: int
    stages: int = 2
    width: int = 64
    hidden: int = 128
    exchange: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "num_classes", "width", "hidden"):
            if not 1 <= getattr(self, name) <= _MOST:
                raise ValueError(f"{name} of segments is {getattr(self, name)}; 1 to {_MOST}")
        if not 0 <= self.stages <= _MOST_STAGES:
            raise ValueError(f"segments have 0 to {_MOST_STAGES} stages, not {self.stages}")


class SegmentCooperation(nn.Module):
    """Finds the segments of a tube in which its action happens.

    Its state carries how tubes are to be cut by ``actionness``, as that of an actionness head:
    ``threshold`` (0 until it is trained, which cuts nothing) and ``window`` (1: no median filter).
    """

    def __init__(self, sizes: SegmentSizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels, width, stages = sizes.channels, sizes.width, range(sizes.stages)
        head = partial(SegmentHead, width, sizes.num_classes, sizes.hidden)
        self.register_buffer("mean", torch.zeros(len(STREAMS), channels))
        self.register_buffer("std", torch.ones(len(STREAMS), channels))
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("window", torch.ones((), dtype=torch.int64))
        self.convs = nn.ModuleDict(
            {s: nn.Conv1d(channels, width, kernel_size=5, padding=2) for s in STREAMS}
        )
        self.frames = nn.ModuleDict({s: nn.Conv1d(width, sizes.num_classes, 1) for s in STREAMS})
        self.stage0 = nn.ModuleDict({s: head() for s in STREAMS})
        self.heads = nn.ModuleList(head() for _ in stages)
        self.messages = nn.ModuleList(MessagePassing(width) for _ in stages)

    def forward(self, features: torch.Tensor, cls: int) -> Found:
        """Segments of one tube, best first, with logits; there is always one.

        Args:
            features: (2, L, C) of the tube's boxes, RGB then flow.
            cls: of the tube.
        """
        maps, frames = self._maps(features, cls)
        found = self._stages(maps, frames, cls)
        segments = torch.cat([x.segments for x in found])
        logits = torch.cat([x.logits for x in found])
        kept = keep_best(segments, logits, FINAL_IOU, TOPK)
        return Found(segments[kept], logits[kept])

    @torch.no_grad()
    def actionness(self, features: torch.Tensor, cls: int) -> torch.Tensor:
        """The probability (L,) of the best segment that each frame lies in; 0 beyond all.

        Args:
            features, cls: as of ``forward``.
        """
        found = self(features, cls)
        start, end = (found.segments + 0.5).floor().T[:, :, None]
        at = torch.arange(features.shape[1], device=features.device)
        inside = (start <= at) & (at < end)
        return (inside * found.logits.sigmoid()[:, None]).amax(dim=0)

    def losses(self, features: torch.Tensor, cls: int, labels: torch.Tensor) -> SegmentLosses:
        """Losses of one tube.

        Args:
            features, cls: as of ``forward``.
            labels: (L,) 1 where the box shows its class.
        """
        truth = runs_over(labels.to(features.dtype), (0.5,), 1)
        maps, frames = self._maps(features, cls)
        wanted = labels.to(features.dtype)
        of_frames = sum(F.binary_cross_entropy_with_logits(x, wanted) for x in frames.values())
        scores, boundaries = features.new_zeros(()), features.new_zeros(())
        for said, proposals in self._heads_of_all(maps, frames, cls, truth):
            a, b = _head_losses(*said, proposals, truth)
            scores, boundaries = scores + a, boundaries + b
        return SegmentLosses(of_frames, scores, boundaries)

    def _maps(
        self, features: torch.Tensor, cls: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Features over time (D, L) and logits of frames (L,), by stream."""
        x = (features - self.mean[:, None]) / self.std[:, None]
        maps = {s: F.relu(self.convs[s](x[i].T[None]))[0] for i, s in enumerate(STREAMS)}
        return maps, {s: self.frames[s](maps[s][None])[0, cls] for s in STREAMS}

    def _stages(
        self, maps: dict[str, torch.Tensor], frames: dict[str, torch.Tensor], cls: int
    ) -> list[Found]:
        return [
            _refined(*said, proposals, maps["rgb"].shape[1])
            for said, proposals in self._heads_of_all(maps, frames, cls, None)
        ]

    def _heads_of_all(
        self,
        maps: dict[str, torch.Tensor],
        frames: dict[str, torch.Tensor],
        cls: int,
        truth: torch.Tensor | None,
    ) -> list[tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]]:
        """What every head says in the order in which they run, ((S,) logits, (S, 2) shifts), and
        of which proposals (S, 2); in training ground truth is among them."""
        length = maps["rgb"].shape[1]
        latest: dict[str, Found] = {}
        said = []
        for s in STREAMS:
            whole = maps[s].new_tensor([[0.0, length]])
            runs = runs_over(frames[s].detach().sigmoid(), THRESHOLDS, SHORTEST)
            proposals = _with_truth(torch.cat([whole, runs]), truth)
            answer = self._answer(self.stage0[s], pool_segments(maps[s], proposals, BINS), cls)
            latest[s] = _refined(*answer, proposals, length)
            said.append((answer, proposals))
        for t, head in enumerate(self.heads):
            own, other = STREAMS[t % 2], STREAMS[1 - t % 2]
            proposals = _with_truth(self._union(latest[own], latest[other]), truth)
            pooled = pool_segments(maps[own], proposals, BINS)
            if self.sizes.exchange:
                message = pool_segments(maps[other], proposals, BINS)
                pooled = self.messages[t](pooled[..., None], message[..., None])[..., 0]
            answer = self._answer(head, pooled, cls)
            latest[own] = _refined(*answer, proposals, length)
            said.append((answer, proposals))
        return said

    def _union(self, own: Found, other: Found) -> torch.Tensor:
        """P_t: the stream's own latest segments, and the other's under a lower threshold."""
        parts = [own.segments[keep_best(own.segments, own.logits, OWN_IOU, TOPK)]]
        if self.sizes.exchange:
            parts.append(other.segments[keep_best(other.segments, other.logits, CROSS_IOU, TOPK)])
        return torch.cat(parts)

    @staticmethod
    def _answer(
        head: SegmentHead, pooled: torch.Tensor, cls: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores, shifts = head(pooled)
        return scores[:, cls], shifts


def tube_actionness(
    network: SegmentCooperation, tubes: TubeRows, features: np.ndarray
) -> np.ndarray:
    """What a network says of each box of whole tubes, to be refined by.

    Args:
        network: in evaluation mode.
        tubes: of M boxes.
        features: (M, 2 C) of these, RGB's and flow's.

    Returns:
        (M,) float32 in [0, 1].
    """
    device = network.mean.device
    said = [np.zeros(0, np.float32)]
    for i, cls in enumerate(tubes.classes.tolist()):
        rows = np.asarray(features[tubes.ptr[i] : tubes.ptr[i + 1]], np.float32)
        streams = torch.from_numpy(rows).to(device).unflatten(1, (len(STREAMS), -1))
        said.append(network.actionness(streams.transpose(0, 1), cls).cpu().numpy())
    return np.concatenate(said)


def _with_truth(proposals: torch.Tensor, truth: torch.Tensor | None) -> torch.Tensor:
    return proposals if truth is None else torch.cat([proposals, truth])


@torch.no_grad()
def _refined(
    logits: torch.Tensor, shifts: torch.Tensor, proposals: torch.Tensor, length: int
) -> Found:
    """Proposals moved by the shifts, within the tube and at least a frame long."""
    size = (proposals[:, 1] - proposals[:, 0])[:, None]
    moved = (proposals + shifts * size).clamp(0, length)
    start = torch.minimum(moved[:, 0], moved[:, 1]).clamp(max=length - 1)
    end = torch.maximum(moved[:, 1], start + 1)
    return Found(torch.stack([start, end], dim=1), logits.detach())


def _head_losses(
    logits: torch.Tensor, shifts: torch.Tensor, proposals: torch.Tensor, truth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of scores, and of boundaries of the positive proposals; either a mean over proposals."""
    if not len(truth):
        return F.binary_cross_entropy_with_logits(
            logits, torch.zeros_like(logits)
        ), shifts.sum() * 0
    iou, which = segment_iou(proposals, truth).max(dim=1)
    positive = iou >= POSITIVE_IOU
    scores = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype))
    size = (proposals[:, 1] - proposals[:, 0])[:, None]
    wanted = (truth[which] - proposals) / size
    errors = F.smooth_l1_loss(shifts, wanted, reduction="none", beta=0.1).sum(dim=1)
    return scores, (errors * positive).sum() / len(proposals)
