"""Frame mAP and video mAP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.scoring.candidates import Candidates, FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.curves import Curve, class_curves
from pcsc_d2.tubes.scoring.protocol import Protocol
from pcsc_d2.tubes.structures import Tubes

STRICT_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
VIDEO_IOUS = (0.2, *STRICT_IOUS)
FRAME_IOUS = (0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Score:
    """Average precision at one IoU threshold.

    Attributes:
        iou: the threshold.
        protocol: the name of the protocol that made the numbers.
        per_class: label -> AP in percent, NaN for a class without ground truth.
        curves: label -> precision-recall curve.
    """

    iou: float
    protocol: str
    per_class: dict[str, float]
    curves: dict[str, Curve]

    @classmethod
    def of(cls, iou: float, protocol: Protocol, curves: dict[str, Curve]) -> Score:
        """The score of the curves of all classes."""
        per_class = {k: curve.average_precision(protocol.envelope) for k, curve in curves.items()}
        return cls(iou, protocol.name, per_class, curves)

    @property
    def mean(self) -> float:
        """Unweighted mean over the classes with ground truth, in percent; NaN if there is none.

        ACT-detector divides by zero for a class without ground truth; here it is left out, and
        ``without_ground_truth`` names it.
        """
        values = [value for value in self.per_class.values() if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")

    @property
    def without_ground_truth(self) -> list[str]:
        """The classes left out of the mean."""
        return [label for label, value in self.per_class.items() if np.isnan(value)]


@dataclass(frozen=True, eq=False)
class ScoresByIou(Mapping[float, Score]):
    """Frame mAP or video mAP by IoU threshold: ``scores[0.5].mean``."""

    by_iou: dict[float, Score]

    @classmethod
    def of(cls, candidates: Candidates, ious: Sequence[float]) -> ScoresByIou:
        """The scores of detections or tubes at some thresholds."""
        return cls({iou: average_precision(candidates, iou) for iou in ious})

    def __getitem__(self, iou: float) -> Score:
        return self.by_iou[iou]

    def __iter__(self) -> Iterator[float]:
        return iter(self.by_iou)

    def __len__(self) -> int:
        return len(self.by_iou)

    @property
    def average(self) -> float:
        """Mean over the ten thresholds 0.5, 0.55 to 0.95, in percent; NaN unless all are there."""
        return float(np.mean([self[i].mean if i in self else np.nan for i in STRICT_IOUS]))

    @property
    def average_per_class(self) -> dict[str, float]:
        """The same by class; KeyError unless all thresholds are there."""
        labels = self[STRICT_IOUS[0]].per_class
        return {k: float(np.mean([self[i].per_class[k] for i in STRICT_IOUS])) for k in labels}


def average_precision(
    candidates: Candidates, iou: float, ignored: np.ndarray | None = None
) -> Score:
    """Average precision of each class at an IoU threshold.

    Args:
        candidates: of detections or tubes.
        iou: the threshold.
        ignored: (G,) bool marks ground truths that are neither to be found nor a mistake to find:
            detections credited with them are left out.
    """
    credited = candidates.match(iou)
    truth_classes, found = candidates.truth_classes, candidates.found
    ignored = np.zeros(len(truth_classes), bool) if ignored is None else ignored
    # One more at the end, for the detections that are credited with nothing (-1).
    counts = ~np.append(ignored, False)[credited] & ~candidates.not_judged(credited, iou)
    columns = (column[counts] for column in (found.classes, found.scores, credited >= 0))
    labels = candidates.ground_truth.labels
    positives = np.bincount(truth_classes[~ignored], minlength=len(labels))
    return Score.of(iou, candidates.protocol, class_curves(labels, *columns, positives))


def frame_map(
    detections: Detections,
    ground_truth: GroundTruth,
    iou: float = 0.5,
    protocol: str | Protocol = "act",
    ignored: np.ndarray | None = None,
) -> Score:
    """Frame mAP; every frame of every video counts, frames without ground truth too.

    Where ``ignored`` (T,) bool marks ground-truth tubes, their boxes are neither to be found nor
    a mistake to find: detections credited with them are left out, so that the score is that of
    the other tubes alone. Detections in the ground truth's crowds are left out, too.

    Videos of the ground truth without detections count as missed, detections of other videos are
    left out, both with a warning. ``protocol`` "act" is what ACT-detector and MOC-detector
    compute.

    Raises:
        ValueError: the detections know a class that the ground truth does not, or there is no
            such protocol.
    """
    if ignored is not None:
        ignored = np.repeat(np.asarray(ignored, bool), ground_truth.tubes.lengths)
    candidates = FrameCandidates(detections, ground_truth, protocol)
    return average_precision(candidates, iou, ignored)


def video_map(
    tubes: Tubes,
    ground_truth: GroundTruth,
    ious: Sequence[float] = VIDEO_IOUS,
    protocol: str | Protocol = "act",
) -> ScoresByIou:
    """Video mAP at each tube IoU threshold.

    Videos that only one of the two knows are treated as in ``frame_map``.

    Raises:
        ValueError: as ``frame_map``.
    """
    return ScoresByIou.of(TubeCandidates(tubes, ground_truth, protocol), ious)
