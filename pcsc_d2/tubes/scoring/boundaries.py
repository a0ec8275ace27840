"""Where tubes begin and end: temporal mAP, and the boundaries' error in frames.

Video mAP mixes space with time. Here a tube is its extent, the segment from its first to its last
frame, as temporal action detection scores segments; the boxes count for nothing in temporal mAP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.iou import temporal_iou
from pcsc_d2.tubes.matching import match_greedily
from pcsc_d2.tubes.scoring.candidates import Candidates, TubeCandidates
from pcsc_d2.tubes.structures import Tubes

TEMPORAL_IOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
FOLLOWS_IOU = 0.5


class ExtentCandidates(Candidates):
    """The extents of tubes held against those of the ground truth, of one video and class.

    The tubes are those that video mAP scores, so those that suppression leaves.

    Args:
        tubes: candidates of the same tubes with their boxes.
    """

    found: Tubes

    def __init__(self, tubes: TubeCandidates) -> None:
        self._tubes = tubes
        places = tubes.places, tubes.truth_places, tubes.truth_classes
        super().__init__(tubes.found, tubes.ground_truth, tubes.protocol, *places)

    @property
    def in_crowd(self) -> np.ndarray:
        return self._tubes.in_crowd

    def iou_of(self, found: np.ndarray, truths: np.ndarray) -> np.ndarray:
        return temporal_iou(self.found, found, self.ground_truth.tubes, truths)


@dataclass(frozen=True, eq=False)
class BoundaryErrors:
    """How many frames the tubes of G ground-truth tubes begin and end beside them.

    Attributes:
        start: (G,) float64, first frame found less first frame annotated, so that what begins too
            early is negative; NaN where no tube follows the actor.
        end: (G,) the same of the last frames.
    """

    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, candidates: TubeCandidates, iou: float = FOLLOWS_IOU) -> BoundaryErrors:
        """The errors of the tubes that follow a ground truth in space.

        A tube follows a ground truth of its class whose boxes it overlaps by ``iou`` on average
        over the frames that both have, of which there must be one. Tubes choose by descending
        score, each the one of highest tube IoU that is still free; how well they fit in time
        decides nothing, for that is what is measured.
        """
        overlap = candidates.overlap_of(candidates.detection, candidates.truth)
        follows = (overlap.temporal > 0) & (overlap.spatial >= iou)
        pairs = candidates.detection[follows], candidates.truth[follows]
        found, truth = candidates.found, candidates.ground_truth.tubes
        credited = match_greedily(*pairs, len(found), len(truth))
        rows = np.flatnonzero(credited >= 0)
        errors = np.full((2, len(truth)), np.nan)
        errors[0, credited[rows]] = found.start[rows] - truth.start[credited[rows]]
        errors[1, credited[rows]] = found.last[rows] - truth.last[credited[rows]]
        return cls(*errors)

    @property
    def found(self) -> float:
        """The share of the ground-truth tubes that a tube follows, in percent."""
        return float(100 * np.mean(~np.isnan(self.start))) if len(self.start) else float("nan")

    def means(self) -> dict[str, float]:
        """In frames, over the ground truths that are followed; NaN if none is.

        Returns:
            "start" and "end", the mean absolute errors; "start_bias" and "end_bias", the mean
            signed ones; "within_5", the share of boundaries of either kind at most five frames
            off, and "found", in percent.
        """
        start, end = (errors[~np.isnan(errors)] for errors in (self.start, self.end))
        both = np.abs(np.concatenate([start, end]))
        values = (np.abs(start), np.abs(end), start, end, 100.0 * (both <= 5))
        names = ("start", "end", "start_bias", "end_bias", "within_5")
        means = {k: float(v.mean()) if v.size else float("nan") for k, v in zip(names, values)}
        return means | {"found": self.found}

    def summary(self) -> str:
        """One line for people."""
        means = self.means()
        if not means["found"]:
            return "boundaries: no tube follows an action"
        return (
            f"boundaries of the {means['found']:.1f} % of actions that a tube follows: first frame "
            f"off by {means['start']:.1f} frames (mean {means['start_bias']:+.1f}), last by "
            f"{means['end']:.1f} (mean {means['end_bias']:+.1f}), "
            f"{means['within_5']:.1f} % within 5"
        )
