"""Where the error comes from: what average precision loses to each kind of mistake.

At every point of the precision-recall curve, precision and the shares of the wrong detections of
each kind add up to 1. Integrated over recall as the AP of ACT-detector is, they and what is never
found add up to 100 %. The kinds are those of ACT-detector's error analysis (Kalogeiton et al.
2017, Section 4.4), with duplicates told apart from localisation:

- duplicate: overlaps a ground truth of its class enough, but a better detection has it;
- localisation: its class is there, and it overlaps it too little;
- time: its class happens in the video, but not at this time;
- class: overlaps enough a ground truth of another class;
- other: none of these, and in no crowd, where nothing is judged;
- missed: the recall never reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.checks import index_of
from pcsc_d2.tubes.matching import join
from pcsc_d2.tubes.scoring.candidates import Candidates, FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.curves import ranked, trapezoid_area

RIGHT, DUPLICATE, LOCALISATION, TIME, CLASS, OTHER, NOT_JUDGED = range(7)
KINDS = ("right", "duplicate", "localisation", "time", "class", "other", "in a crowd")
JUDGED = KINDS[:NOT_JUDGED]
PARTS = (*JUDGED, "missed")

# Detections compared with the ground truth of other classes at a time.
_CHUNK_ROWS = 1 << 19


@dataclass(frozen=True, eq=False)
class ErrorBreakdown:
    """Percentages that add up to 100 for each class with ground truth.

    Attributes:
        iou: the threshold.
        per_class: label -> part (``PARTS``) -> percent; "right" is the AP by the trapezoid rule.
        kinds: (N,) int8 into ``KINDS``, one for each detection that was scored.
    """

    iou: float
    per_class: dict[str, dict[str, float]]
    kinds: np.ndarray

    @property
    def mean(self) -> dict[str, float]:
        """Part -> percent, the unweighted mean over the classes; NaN if there are none."""
        rows = list(self.per_class.values())
        return {part: float(np.mean([row[part] for row in rows] or np.nan)) for part in PARTS}


def frame_errors(candidates: FrameCandidates, iou: float = 0.5) -> ErrorBreakdown:
    """Error analysis of frame detections."""
    found = candidates.found
    kinds = np.full(len(found), OTHER, np.int8)
    in_frame = np.zeros(len(found), bool)
    in_frame[candidates.detection] = True
    anything, overlaps = _overlaps_anything(candidates, iou)
    kinds[_class_happens(candidates) & ~anything] = TIME
    kinds[overlaps] = CLASS
    kinds[in_frame] = LOCALISATION
    kinds[candidates.detection[candidates.iou >= iou]] = DUPLICATE
    return _break_down(candidates, _judged(candidates, kinds, iou), iou)


def tube_errors(candidates: TubeCandidates, iou: float = 0.5) -> ErrorBreakdown:
    """Error analysis of tubes.

    A tube is late or early ("time") if it follows a ground truth of its class well enough in
    space over the frames that they share, or shares none.
    """
    return _break_down(candidates, classify_tubes(candidates, iou), iou)


def classify_tubes(candidates: TubeCandidates, iou: float) -> np.ndarray:
    """The kind (T,) int8 into ``KINDS`` of each tube; see ``tube_errors``."""
    own = candidates.detection
    overlap = candidates.overlap_of(own, candidates.truth)
    kinds = np.full(len(candidates.found), OTHER, np.int8)
    rows, others = join(candidates.places, candidates.truth_places)
    kinds[rows[candidates.iou_of(rows, others) >= iou]] = CLASS
    kinds[own] = TIME
    kinds[own[overlap.temporal > 0]] = LOCALISATION
    kinds[own[overlap.spatial >= iou]] = TIME
    kinds[own[candidates.iou >= iou]] = DUPLICATE
    return _judged(candidates, kinds, iou)


def _judged(candidates: Candidates, kinds: np.ndarray, iou: float) -> np.ndarray:
    """The kinds with those that are right, and those that are not judged."""
    credited = candidates.match(iou)
    kinds[credited >= 0] = RIGHT
    kinds[candidates.not_judged(credited, iou)] = NOT_JUDGED
    return kinds


def _class_happens(candidates: FrameCandidates) -> np.ndarray:
    """(N,) bool: the detection's class has a tube in its video."""
    found, truth = candidates.found, candidates.ground_truth
    happens = np.zeros((len(truth.videos), len(truth.labels)), bool)
    happens[truth.tubes.video, truth.tubes.classes] = True
    index = index_of(truth.videos, found.videos, "video")
    video = np.repeat(index, np.diff(found.frame_ptr[found.video_ptr]))
    return happens[video, found.classes]


def _overlaps_anything(candidates: FrameCandidates, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool twice: the frame has ground truth of any class; the detection overlaps it."""
    places = candidates.places
    anything, overlaps = np.zeros(len(places), bool), np.zeros(len(places), bool)
    for begin in range(0, len(places), _CHUNK_ROWS):
        index, truths = join(places[begin : begin + _CHUNK_ROWS], candidates.truth_places)
        index += begin
        anything[index] = True
        overlaps[index[candidates.iou_of(index, truths) >= iou]] = True
    return anything, overlaps


def _break_down(candidates: Candidates, kinds: np.ndarray, iou: float) -> ErrorBreakdown:
    labels, found = candidates.ground_truth.labels, candidates.found
    positives = np.bincount(candidates.truth_classes, minlength=len(labels))
    per_class = {}
    for i, label in enumerate(labels):
        if positives[i]:
            mine = kinds[ranked(found.classes, found.scores, i)]
            of_kind = mine[mine != NOT_JUDGED] == np.arange(len(JUDGED))[:, None]
            shares = np.cumsum(of_kind, axis=1) / np.arange(1, of_kind.shape[1] + 1)
            hits = of_kind[RIGHT]
            areas = [
                trapezoid_area(share, hits, positives[i], first=float(k == RIGHT))
                for k, share in enumerate(shares)
            ]
            values = [100 * area for area in (*areas, 1 - hits.sum() / positives[i])]
            per_class[label] = dict(zip(PARTS, values, strict=True))
    return ErrorBreakdown(iou, per_class, kinds)
