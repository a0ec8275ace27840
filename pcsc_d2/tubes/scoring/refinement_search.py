"""Choosing the median window and the threshold of refinement on videos with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.refinement import Refinement, RefineOptions, refine
from pcsc_d2.tubes.scoring.candidates import TubeCandidates
from pcsc_d2.tubes.scoring.metrics import video_map
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.utils.progress import progress_bar


@dataclass(frozen=True, eq=False)
class RefinementSearch:
    """The best way to refine some tubes, and how good each way is.

    Attributes:
        options: of the best; its threshold is 0 where leaving the tubes alone is best.
        unrefined: video mAP 0.5:0.95 of the tubes as they are.
        scores: the same for each (window, threshold).
    """

    options: RefineOptions
    unrefined: float
    scores: dict[tuple[int, float], float]

    @property
    def best(self) -> float:
        """Video mAP 0.5:0.95 of the best."""
        return max(self.unrefined, *self.scores.values())


def choose_refinement(
    tubes: Tubes,
    ground_truth: GroundTruth,
    windows: Sequence[int],
    thresholds: Sequence[float],
    base: RefineOptions | None = None,
    protocol: str | Protocol = "act",
    progress: bool = False,
) -> RefinementSearch:
    """The window and threshold of the highest video mAP 0.5:0.95.

    Of equal ones the shortest window and the lowest threshold win. The actionness should come
    from a head that was not trained on these videos.

    Args:
        base: the other options.
        progress: draws a progress bar.
    """
    base = base or RefineOptions()
    unrefined = video_map(tubes, ground_truth, protocol=protocol).average
    pairs = [(w, t) for w in windows for t in sorted(thresholds)]
    scores = {}
    with progress_bar(len(pairs), "choosing window and threshold", "pair", progress) as bar:
        for window, threshold in pairs:
            refined = refine(tubes, replace(base, window=window, threshold=threshold))
            average = video_map(refined, ground_truth, protocol=protocol).average
            scores[window, threshold] = average
            bar.update(1)
    window, threshold = max(scores, key=scores.get)
    if not scores[window, threshold] > unrefined:
        return RefinementSearch(replace(base, window=1, threshold=0.0), unrefined, scores)
    return RefinementSearch(replace(base, window=window, threshold=threshold), unrefined, scores)


def temporal_overlap(
    tubes: Tubes, ground_truth: GroundTruth, iou: float = 0.2, protocol: str | Protocol = "act"
) -> np.ndarray:
    """Temporal IoU (G,) of each ground-truth tube with the tube that is matched to it.

    The tube of highest score chooses first, as for video mAP at ``iou``, but no tube is
    suppressed; NaN where no tube is matched.
    """
    unsuppressed = replace(get_protocol(protocol), tube_nms=None)
    candidates = TubeCandidates(tubes, ground_truth, unsuppressed)
    matched = candidates.match(iou)
    rows = np.flatnonzero(matched >= 0)
    values = np.full(len(ground_truth.tubes), np.nan)
    values[matched[rows]] = candidates.overlap_of(rows, matched[rows]).temporal
    return values


def refinement_stats(refinement: Refinement, ground_truth: GroundTruth) -> dict[str, float]:
    """How tubes were refined and what became of them, as numbers.

    Returns:
        "window", "threshold"; the numbers of tubes "linked", "vanished", "too_short" and "left";
        "overlap_before" and "overlap_after", the mean temporal IoU of the ground-truth tubes that
        are matched both before and after (NaN where none is).
    """
    pair = [temporal_overlap(t, ground_truth) for t in (refinement.linked, refinement.tubes)]
    both = ~np.isnan(pair).any(axis=0)
    before, after = (float(values[both].mean()) if both.any() else np.nan for values in pair)
    return {
        "window": refinement.options.window,
        "threshold": refinement.options.threshold,
        "linked": len(refinement.linked),
        "vanished": int(refinement.vanished.sum()),
        "too_short": int(refinement.too_short.sum()),
        "left": len(refinement.tubes),
        "overlap_before": before,
        "overlap_after": after,
    }
