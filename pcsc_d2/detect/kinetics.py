"""Kinetics' names for tubes: the mean of its classifier's logits along the path of an actor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pcsc_d2.model_zoo.kinetics import kinetics_classes
from pcsc_d2.models.clip_model import ClipDetections
from pcsc_d2.tubes.linking import LinkedFrame

# Names that are told of a tube.
BEST = 3


class Guess(NamedTuple):
    """One of the 400 names, with the softmax of the mean logits."""

    label: str
    score: float


class PathGuesses:
    """What Kinetics calls the paths that are going: sums of logits, so memory stays flat.

    Boxes count by their actionness where the model gives it, else all alike; pieces of one path
    have the same names.
    """

    def __init__(self) -> None:
        self._names = kinetics_classes()
        self._sums: dict[int, np.ndarray] = {}

    def update(self, linked: LinkedFrame, found: ClipDetections) -> None:
        """Take what a key frame brought.

        Args:
            linked: which of its detections belong to which path.
            found: with ``kinetics``.
        """
        for index, path in zip(linked.index.tolist(), linked.path.tolist()):
            weight = 1.0 if found.actionness is None else max(float(found.actionness[index]), 1e-6)
            logits = np.append(found.kinetics[index], np.float32(1)).astype(np.float64) * weight
            self._sums[path] = self._sums.get(path, 0.0) + logits

    def of(self, paths: np.ndarray) -> list[list[Guess]]:
        """The best names of some paths, best first."""
        return [self._best(self._sums[path]) for path in paths.tolist()]

    def forget(self, paths: np.ndarray) -> None:
        """Paths that have ended."""
        for path in paths.tolist():
            self._sums.pop(path, None)

    def _best(self, sums: np.ndarray) -> list[Guess]:
        mean = sums[:-1] / sums[-1]
        scores = np.exp(mean - mean.max())
        scores /= scores.sum()
        best = np.argsort(-scores, kind="stable")[:BEST]
        return [Guess(self._names[i], float(scores[i])) for i in best]
