"""Precision-recall curves and average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Curve:
    """The precision-recall curve of one class.

    Attributes:
        scores: (n,) float32, descending.
        hits: (n,) bool, True where the detection is right.
        positives: number of ground truths.
    """

    scores: np.ndarray
    hits: np.ndarray
    positives: int

    @property
    def precision(self) -> np.ndarray:
        """(n,) float64, after each detection."""
        return np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1)

    @property
    def recall(self) -> np.ndarray:
        """(n,) float64, after each detection; NaN without ground truth."""
        with np.errstate(invalid="ignore"):
            return np.cumsum(self.hits) / np.float64(self.positives)

    def average_precision(self, envelope: bool) -> float:
        """AP in percent, NaN without ground truth; see ``Protocol.envelope`` for the two areas."""
        if self.positives == 0:
            return float("nan")
        area = envelope_area if envelope else trapezoid_area
        return 100 * area(self.precision, self.hits, self.positives)


def trapezoid_area(
    values: np.ndarray, hits: np.ndarray, positives: int, first: float = 1.0
) -> float:
    """Area under raw values over recall by the trapezoid rule, from recall 0 and ``first`` on.

    With precision it is ``pr_to_ap`` of ACT-detector and MOC-detector (in float64, theirs is
    float32).

    Args:
        values: (n,) after each detection.
        hits: (n,) bool; recall rises by 1 / positives at each.
        positives: number of ground truths.
    """
    before = np.concatenate([[first], values[:-1]])[: len(values)]
    return float((values + before)[hits].sum() / (2 * positives))


def envelope_area(precision: np.ndarray, hits: np.ndarray, positives: int) -> float:
    """Area under the envelope: at each recall the best precision at that recall or beyond.

    This is PASCAL VOC's rule from 2010 on, over all points; arguments as ``trapezoid_area``.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / positives)


def class_curves(
    labels: tuple[str, ...],
    classes: np.ndarray,
    scores: np.ndarray,
    hits: np.ndarray,
    positives: np.ndarray,
) -> dict[str, Curve]:
    """Curves of all classes from (N,) classes, scores and hits; equal scores keep their order."""
    curves = {}
    for i, label in enumerate(labels):
        mine = ranked(classes, scores, i)
        curves[label] = Curve(scores[mine], hits[mine], int(positives[i]))
    return curves


def ranked(classes: np.ndarray, scores: np.ndarray, cls: int) -> np.ndarray:
    """Positions of a class's detections, best first; equal scores keep their order."""
    mine = np.flatnonzero(classes == cls)
    return mine[np.argsort(-scores[mine], kind="stable")]
