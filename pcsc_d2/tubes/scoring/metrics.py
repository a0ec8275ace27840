"""Frame mAP and video mAP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.scoring.alignment import align_detections, align_tubes
from pcsc_d2.tubes.scoring.candidates import frame_candidates, tube_candidates, tube_nms
from pcsc_d2.tubes.scoring.curves import Curve, class_curves
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes

STRICT_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
VIDEO_IOUS = (0.2, *STRICT_IOUS)


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
class VideoScores(Mapping[float, Score]):
    """Video mAP by tube IoU threshold: ``scores[0.5].mean``."""

    by_iou: dict[float, Score]

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
    the other tubes alone (as COCO treats crowds).

    Videos of the ground truth without detections count as missed, detections of other videos are
    left out, both with a warning. ``protocol`` "act" is what ACT-detector and MOC-detector
    compute.

    Raises:
        ValueError: the detections know a class that the ground truth does not, or there is no
            such protocol.
    """
    protocol = get_protocol(protocol)
    detections = align_detections(detections, ground_truth)
    credited = frame_candidates(detections, ground_truth, protocol.plus_one).match(iou, protocol)
    tubes = ground_truth.tubes
    ignored = np.zeros(len(tubes), bool) if ignored is None else np.asarray(ignored, bool)
    # One more at the end, for the detections that are credited with nothing (-1).
    counts = ~np.append(np.repeat(ignored, tubes.lengths), False)[credited]
    classes, scores, hits = (
        a[counts] for a in (detections.classes, detections.scores, credited >= 0)
    )
    wanted = np.repeat(tubes.classes, tubes.lengths * ~ignored)
    positives = np.bincount(wanted, minlength=len(ground_truth.labels))
    curves = class_curves(ground_truth.labels, classes, scores, hits, positives)
    return Score.of(iou, protocol, curves)


def video_map(
    tubes: Tubes,
    ground_truth: GroundTruth,
    ious: Sequence[float] = VIDEO_IOUS,
    protocol: str | Protocol = "act",
) -> VideoScores:
    """Video mAP at each tube IoU threshold.

    Videos that only one of the two knows are treated as in ``frame_map``.

    Raises:
        ValueError: as ``frame_map``.
    """
    protocol = get_protocol(protocol)
    tubes = align_tubes(tubes, ground_truth)
    if protocol.tube_nms is not None:
        tubes = tubes.take(tube_nms(tubes, protocol.tube_nms, protocol.plus_one))
    candidates = tube_candidates(tubes, ground_truth.tubes, protocol.plus_one)
    positives = np.bincount(ground_truth.tubes.classes, minlength=len(ground_truth.labels))
    scores = {}
    for iou in ious:
        hits = candidates.match(iou, protocol) >= 0
        curves = class_curves(ground_truth.labels, tubes.classes, tubes.scores, hits, positives)
        scores[iou] = Score.of(iou, protocol, curves)
    return VideoScores(scores)
