"""Detections or tubes held against a ground truth, once, to be scored at any threshold.

Detections (or tubes), ground truth and protocol -> ``FrameCandidates`` (``TubeCandidates``) ->
``metrics.average_precision``, ``errors.frame_errors``, ``errors.tube_errors``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import TubeOverlap, box_iou, temporal_iou, tube_overlap
from pcsc_d2.tubes.matching import join, later_in_group, match_greedily, suppress
from pcsc_d2.tubes.scoring.alignment import align_detections, align_tubes, frame_numbers
from pcsc_d2.tubes.scoring.crowds import detections_in_crowds, tubes_in_crowds
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes


class Candidates(ABC):
    """The pairs of a detection and a ground truth of its class at the same place.

    A place is a frame for boxes and a video for tubes.

    Args:
        found: N detections or tubes aligned with the ground truth; those that compete are ordered
            best score first.
        ground_truth: of G boxes or tubes.
        protocol: how they are held against one another.
        places: (N,) int64, the place of each detection.
        truth_places: (G,) int64, the place of each ground truth.
        truth_classes: (G,) the class of each ground truth.

    Attributes:
        detection: (K,) ascending, one of each pair.
        truth: (K,) the other; those of a detection are ordered by descending IoU.
        iou: (K,) float64.
    """

    def __init__(
        self,
        found: Detections | Tubes,
        ground_truth: GroundTruth,
        protocol: Protocol,
        places: np.ndarray,
        truth_places: np.ndarray,
        truth_classes: np.ndarray,
    ) -> None:
        self.found, self.ground_truth, self.protocol = found, ground_truth, protocol
        self.places, self.truth_places = places, truth_places
        self.truth_classes = truth_classes
        num_classes = len(ground_truth.labels)
        keys = places * num_classes + found.classes
        rows, truths = join(keys, truth_places * num_classes + truth_classes)
        iou = self.iou_of(rows, truths)
        order = np.lexsort((-iou, rows))
        self.detection, self.truth, self.iou = rows[order], truths[order], iou[order]

    @property
    @abstractmethod
    def in_crowd(self) -> np.ndarray:
        """The share (N,) float64 of each detection that is in a crowd, see ``crowds``."""

    @abstractmethod
    def iou_of(self, found: np.ndarray, truths: np.ndarray) -> np.ndarray:
        """IoU (K,) float64 of K pairs of any class and place."""

    def match(self, iou: float) -> np.ndarray:
        """The ground truth (N,) that each detection is credited with, or -1.

        Detections choose by descending score. ``Protocol.rematch`` decides whether one whose best
        ground truth is taken may have the next best.
        """
        eligible = self.iou >= iou
        if not self.protocol.rematch:
            eligible[1:] &= self.detection[1:] != self.detection[:-1]
        pairs = self.detection[eligible], self.truth[eligible]
        return match_greedily(*pairs, len(self.found), len(self.truth_classes))

    def not_judged(self, credited: np.ndarray, iou: float) -> np.ndarray:
        """The detections (N,) bool that are neither right nor wrong: in a crowd, credited with
        nothing.

        Args:
            credited: what ``match`` gave.
            iou: the share of a detection that has to be in a crowd of its class, as COCO has it.
        """
        return (credited < 0) & (self.in_crowd >= iou)


class FrameCandidates(Candidates):
    """Candidates of frame detections; the ground truths are the boxes of the annotated tubes.

    Warns and raises as ``frame_map``.
    """

    found: Detections

    def __init__(
        self, detections: Detections, ground_truth: GroundTruth, protocol: str | Protocol = "act"
    ) -> None:
        detections = align_detections(detections, ground_truth)
        tubes = ground_truth.tubes
        super().__init__(
            detections,
            ground_truth,
            get_protocol(protocol),
            *frame_numbers(detections, ground_truth),
            truth_classes=np.repeat(tubes.classes, tubes.lengths),
        )

    @cached_property
    def in_crowd(self) -> np.ndarray:
        crowds = self.ground_truth.crowds
        return detections_in_crowds(self.found, crowds, self.protocol.plus_one)

    def iou_of(self, found: np.ndarray, truths: np.ndarray) -> np.ndarray:
        boxes = self.found.boxes[found], self.ground_truth.tubes.boxes[truths]
        return box_iou(*boxes, self.protocol.plus_one)


class TubeCandidates(Candidates):
    """Candidates of tubes, those that ``Protocol.tube_nms`` suppresses left out.

    Warns and raises as ``video_map``.
    """

    found: Tubes

    def __init__(
        self, tubes: Tubes, ground_truth: GroundTruth, protocol: str | Protocol = "act"
    ) -> None:
        protocol, truth = get_protocol(protocol), ground_truth.tubes
        tubes = align_tubes(tubes, ground_truth)
        if protocol.tube_nms is not None:
            tubes = tubes.take(tube_nms(tubes, protocol.tube_nms, protocol.plus_one))
        videos = tubes.video.astype(np.int64), truth.video.astype(np.int64)
        super().__init__(tubes, ground_truth, protocol, *videos, truth_classes=truth.classes)

    @cached_property
    def in_crowd(self) -> np.ndarray:
        return tubes_in_crowds(self.found, self.ground_truth.crowds, self.protocol.plus_one)

    def iou_of(self, found: np.ndarray, truths: np.ndarray) -> np.ndarray:
        return self.overlap_of(found, truths).iou

    def overlap_of(self, found: np.ndarray, truths: np.ndarray) -> TubeOverlap:
        """Overlap in space and in time of K pairs of any class."""
        truth = self.ground_truth.tubes
        return tube_overlap(self.found, found, truth, truths, self.protocol.plus_one)


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
