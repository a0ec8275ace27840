"""Where the error comes from: what average precision loses to each kind of mistake.

At every point of the precision-recall curve, precision and the shares of the wrong detections of
each kind add up to 1. Integrated over recall as the AP of ACT-detector is, they and what is never
found add up to 100 %. The kinds are those of ACT-detector's error analysis (Kalogeiton et al.
2017, Section 4.4), with duplicates told apart from localisation:

- duplicate: overlaps a ground truth of its class enough, but a better detection has it;
- localisation: its class is there, and it overlaps it too little;
- time: its class happens in the video, but not at this time;
- class: overlaps enough a ground truth of another class;
- other: none of these;
- missed: the recall never reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import box_iou, tube_overlap
from pcsc_d2.tubes.matching import join
from pcsc_d2.tubes.scoring.alignment import align_detections, align_tubes, detection_rows
from pcsc_d2.tubes.scoring.candidates import frame_candidates, truth_rows, tube_candidates, tube_nms
from pcsc_d2.tubes.scoring.curves import ranked, trapezoid_area
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes

RIGHT, DUPLICATE, LOCALISATION, TIME, CLASS, OTHER = range(6)
KINDS = ("right", "duplicate", "localisation", "time", "class", "other")
PARTS = (*KINDS, "missed")

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


def frame_errors(
    detections: Detections,
    ground_truth: GroundTruth,
    iou: float = 0.5,
    protocol: str | Protocol = "act",
) -> ErrorBreakdown:
    """Error analysis of frame detections; raises and warns as ``frame_map``."""
    protocol = get_protocol(protocol)
    detections = align_detections(detections, ground_truth)
    own = frame_candidates(detections, ground_truth, protocol.plus_one)
    kinds = np.full(len(detections), OTHER, np.int8)
    in_frame = np.zeros(len(detections), bool)
    in_frame[own.detection] = True
    video = np.repeat(
        np.arange(len(detections.videos)), np.diff(detections.frame_ptr[detections.video_ptr])
    )
    happens = _class_happens(ground_truth, detections.videos)[video, detections.classes]
    anything, overlaps = _overlaps_anything(detections, ground_truth, iou, protocol.plus_one)
    kinds[happens & ~anything] = TIME
    kinds[overlaps] = CLASS
    kinds[in_frame] = LOCALISATION
    kinds[own.detection[own.iou >= iou]] = DUPLICATE
    kinds[own.match(iou, protocol) >= 0] = RIGHT
    truth_classes = np.repeat(ground_truth.tubes.classes, ground_truth.tubes.lengths)
    return _break_down(
        ground_truth.labels, detections.classes, detections.scores, kinds, truth_classes, iou
    )


def video_errors(
    tubes: Tubes,
    ground_truth: GroundTruth,
    iou: float = 0.5,
    protocol: str | Protocol = "act",
) -> ErrorBreakdown:
    """Error analysis of tubes; raises and warns as ``video_map``.

    A tube is late or early ("time") if it follows a ground truth of its class well enough in
    space over the frames that they share, or shares none.
    """
    protocol = get_protocol(protocol)
    tubes = align_tubes(tubes, ground_truth)
    if protocol.tube_nms is not None:
        tubes = tubes.take(tube_nms(tubes, protocol.tube_nms, protocol.plus_one))
    kinds = classify_tubes(tubes, ground_truth, iou, protocol)
    truth_classes = ground_truth.tubes.classes
    return _break_down(ground_truth.labels, tubes.classes, tubes.scores, kinds, truth_classes, iou)


def classify_tubes(
    tubes: Tubes, ground_truth: GroundTruth, iou: float, protocol: Protocol
) -> np.ndarray:
    """The kind (T,) int8 into ``KINDS`` of each aligned tube; see ``video_errors``."""
    truth = ground_truth.tubes
    own = tube_candidates(tubes, truth, protocol.plus_one)
    overlap = tube_overlap(tubes, own.detection, truth, own.truth, protocol.plus_one)
    kinds = np.full(len(tubes), OTHER, np.int8)
    rows, others = join(tubes.video, truth.video)
    near = tube_overlap(tubes, rows, truth, others, protocol.plus_one).iou >= iou
    kinds[rows[near]] = CLASS
    kinds[own.detection] = TIME
    kinds[own.detection[overlap.temporal > 0]] = LOCALISATION
    kinds[own.detection[overlap.spatial >= iou]] = TIME
    kinds[own.detection[own.iou >= iou]] = DUPLICATE
    kinds[own.match(iou, protocol) >= 0] = RIGHT
    return kinds


def _class_happens(ground_truth: GroundTruth, videos: np.ndarray) -> np.ndarray:
    """(V, C) bool: the class has a tube in the video."""
    happens = np.zeros((len(ground_truth.videos), len(ground_truth.labels)), bool)
    happens[ground_truth.tubes.video, ground_truth.tubes.classes] = True
    position = {name: i for i, name in enumerate(ground_truth.videos.tolist())}
    return happens[[position[name] for name in videos.tolist()]]


def _overlaps_anything(
    detections: Detections, ground_truth: GroundTruth, iou: float, plus_one: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool twice: the frame has ground truth of any class; the detection overlaps it."""
    rows = detection_rows(detections, ground_truth)
    keys = truth_rows(detections, ground_truth)
    anything, overlaps = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for begin in range(0, len(rows), _CHUNK_ROWS):
        index, truths = join(rows[begin : begin + _CHUNK_ROWS], keys)
        index += begin
        anything[index] = True
        near = box_iou(detections.boxes[index], ground_truth.tubes.boxes[truths], plus_one) >= iou
        overlaps[index[near]] = True
    return anything, overlaps


def _break_down(
    labels: tuple[str, ...],
    classes: np.ndarray,
    scores: np.ndarray,
    kinds: np.ndarray,
    truth_classes: np.ndarray,
    iou: float,
) -> ErrorBreakdown:
    positives = np.bincount(truth_classes, minlength=len(labels))
    per_class = {}
    for i, label in enumerate(labels):
        if positives[i]:
            of_kind = kinds[ranked(classes, scores, i)] == np.arange(len(KINDS))[:, None]
            shares = np.cumsum(of_kind, axis=1) / np.arange(1, of_kind.shape[1] + 1)
            hits = of_kind[RIGHT]
            areas = [
                trapezoid_area(share, hits, positives[i], first=float(k == RIGHT))
                for k, share in enumerate(shares)
            ]
            values = [100 * area for area in (*areas, 1 - hits.sum() / positives[i])]
            per_class[label] = dict(zip(PARTS, values, strict=True))
    return ErrorBreakdown(iou, per_class, kinds)
