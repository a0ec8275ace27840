"""Which detections could be right: pairs of a detection and a ground truth, and their overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import box_iou, temporal_iou, tube_overlap
from pcsc_d2.tubes.matching import join, later_in_group, match_greedily, suppress
from pcsc_d2.tubes.scoring.alignment import detection_rows, frame_offsets
from pcsc_d2.tubes.scoring.protocol import Protocol
from pcsc_d2.tubes.structures import Tubes


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of a detection and a ground truth of the same class, in the same frame or video.

    Attributes:
        detection: (K,) ascending; detections that compete are ordered best score first.
        truth: (K,) index of the ground truth.
        iou: (K,) float64.
        num_detections: number of detections.
        num_truths: number of ground truths.
    """

    detection: np.ndarray
    truth: np.ndarray
    iou: np.ndarray
    num_detections: int
    num_truths: int

    def match(self, iou: float, protocol: Protocol) -> np.ndarray:
        """The ground truth (num_detections,) that each detection is credited with, or -1.

        Detections choose by descending score. ``protocol.rematch`` decides whether one whose best
        ground truth is taken may have the next best.
        """
        order = np.lexsort((-self.iou, self.detection))
        detection, truth, overlap = self.detection[order], self.truth[order], self.iou[order]
        eligible = overlap >= iou
        if not protocol.rematch:
            eligible[1:] &= detection[1:] != detection[:-1]
        return match_greedily(
            detection[eligible], truth[eligible], self.num_detections, self.num_truths
        )


def truth_rows(detections: Detections, ground_truth: GroundTruth) -> np.ndarray:
    """(M,) row of every ground-truth box's frame, counted by ``frame_offsets``."""
    tubes = ground_truth.tubes
    first = frame_offsets(detections, ground_truth)[tubes.video]
    return np.repeat(first, tubes.lengths) + tubes.box_frames - 1


def frame_candidates(
    detections: Detections, ground_truth: GroundTruth, plus_one: bool
) -> Candidates:
    """Candidates of aligned detections; truths are the boxes of the ground-truth tubes."""
    num_classes, tubes = len(ground_truth.labels), ground_truth.tubes
    keys = detection_rows(detections, ground_truth) * num_classes + detections.classes
    truth_classes = np.repeat(tubes.classes, tubes.lengths)
    truth_keys = truth_rows(detections, ground_truth) * num_classes + truth_classes
    rows, truths = join(keys, truth_keys)
    iou = box_iou(detections.boxes[rows], tubes.boxes[truths], plus_one)
    return Candidates(rows, truths, iou, len(detections), len(tubes.boxes))


def tube_candidates(tubes: Tubes, truth: Tubes, plus_one: bool) -> Candidates:
    """Candidates of tubes sorted best first within video and class; both number videos alike."""
    num_classes = len(truth.labels)
    keys = tubes.video.astype(np.int64) * num_classes + tubes.classes
    truth_keys = truth.video.astype(np.int64) * num_classes + truth.classes
    rows, truths = join(keys, truth_keys)
    iou = tube_overlap(tubes, rows, truth, truths, plus_one).iou
    return Candidates(rows, truths, iou, len(tubes), len(truth))


def tube_nms(tubes: Tubes, threshold: float, plus_one: bool = True) -> np.ndarray:
    """Suppression within video and class by tube IoU, as ``nms3dt`` of ACT-detector.

    A tube goes if it overlaps a better one that stays by more than ``threshold``.

    Returns:
        (K,) ascending positions of the tubes that stay.
    """
    order = np.lexsort((-tubes.scores, tubes.classes, tubes.video))
    group = tubes.video[order].astype(np.int64) * len(tubes.labels) + tubes.classes[order]
    first, second = later_in_group(group)
    # The tube IoU is at most the temporal one, which costs next to nothing.
    close = temporal_iou(tubes, order[first], tubes, order[second]) > threshold
    first, second = first[close], second[close]
    over = tube_overlap(tubes, order[first], tubes, order[second], plus_one).iou > threshold
    keep = suppress(first[over], second[over], len(tubes))
    return np.sort(order[keep])
