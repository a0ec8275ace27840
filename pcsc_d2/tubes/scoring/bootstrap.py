"""How sure a difference of two scores is: videos drawn again, the same ones for both.

Frames of a video are alike, so that videos are drawn and not frames. A video that is drawn twice
counts twice, its detections and its ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pcsc_d2.tubes.checks import index_of
from pcsc_d2.tubes.scoring.candidates import Candidates, FrameCandidates
from pcsc_d2.tubes.scoring.curves import ranked

# Cells of draws times detections in memory at a time.
_CELLS = 1 << 23


class Interval(NamedTuple):
    """A difference in points, and where 95 % of the draws have it."""

    difference: float
    low: float
    high: float


def paired_interval(
    pairs: Sequence[tuple[Candidates, Candidates]], iou: float, draws: int = 1000, seed: int = 0
) -> Interval:
    """By how much the second of each pair scores over the first, on average over the pairs.

    Args:
        pairs: such as one a seed, of the same ground truth.
        iou: threshold of the mAP.
        draws: samples of the videos.
        seed: of the draws.
    """
    number = len(pairs[0][0].ground_truth.videos)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(number, np.full(number, 1 / number), draws)
    # The videos as they are lead.
    counts = np.concatenate([np.ones((1, number), np.int64), drawn])
    differences = [resampled_map(b, iou, counts) - resampled_map(a, iou, counts) for a, b in pairs]
    mean = np.mean(differences, axis=0)
    low, high = np.nanpercentile(mean[1:], [2.5, 97.5])
    return Interval(float(mean[0]), float(low), float(high))


def resampled_map(candidates: Candidates, iou: float, counts: np.ndarray) -> np.ndarray:
    """mAP (B,) in percent of B draws, by the trapezoid rule of ACT-detector.

    Args:
        candidates: of detections or tubes.
        iou: the threshold.
        counts: (B, V) how often each video of the ground truth is drawn.

    A class that is in no video of a draw is left out of its mean.
    """
    credited = candidates.match(iou)
    judged = ~candidates.not_judged(credited, iou)
    of_found, of_truth = _videos(candidates)
    found, areas = candidates.found, []
    for cls in range(len(candidates.ground_truth.labels)):
        rows = ranked(found.classes, found.scores, cls)
        rows = rows[judged[rows]]
        positives = counts[:, of_truth[candidates.truth_classes == cls]].sum(axis=1)
        areas.append(_areas(counts, of_found[rows], credited[rows] >= 0, positives))
    areas = np.array(areas)
    there = ~np.isnan(areas)
    sums = np.where(there, areas, 0).sum(axis=0)
    return 100 * np.divide(sums, there.sum(axis=0), out=np.full(len(counts), np.nan),
                           where=there.any(axis=0))  # fmt: skip


def _areas(
    counts: np.ndarray, videos: np.ndarray, hits: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """AP (B,) of a class whose detections, best first, are of these videos."""
    parts = []
    step = max(1, _CELLS // max(len(videos), 1))
    for begin in range(0, len(counts), step):
        weights = counts[begin : begin + step, videos].astype(np.float64)
        right = np.cumsum(weights * hits, axis=1)
        seen = np.cumsum(weights, axis=1)
        precision = np.divide(right, seen, out=np.ones_like(right), where=seen > 0)
        before = np.concatenate([np.ones((len(weights), 1)), precision[:, :-1]], axis=1)
        parts.append(((precision + before[:, : len(videos)]) / 2 * weights * hits).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positives > 0, np.concatenate(parts) / positives, np.nan)


def _videos(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """The video (N,) of each detection and (G,) of each ground truth."""
    truth = candidates.ground_truth
    if not isinstance(candidates, FrameCandidates):
        return candidates.places, candidates.truth_places
    found = candidates.found
    index = index_of(truth.videos, found.videos, "video")
    of_found = np.repeat(index, np.diff(found.frame_ptr[found.video_ptr]))
    return of_found, np.repeat(truth.tubes.video, truth.tubes.lengths).astype(np.int64)
