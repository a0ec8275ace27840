"""Small detections, tubes and ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes

LABELS = ("run", "jump", "wave")
Box = Sequence[float]
# video, class, score, first frame, a box for each frame
TubeRow = tuple[int, int, float, int, Sequence[Box]]
# video, frame, class, score, box
DetectionRow = tuple[int, int, int, float, Box]


def build_tubes(rows: Sequence[TubeRow], videos: Sequence[str] = ("a", "b")) -> Tubes:
    """Tubes whose boxes' scores are the tube's."""
    boxes = [np.asarray(row[4], float).reshape(-1, 4) for row in rows]
    lengths = [len(b) for b in boxes]
    scores = np.array([row[2] for row in rows])
    return Tubes(
        np.array(videos),
        np.array(LABELS),
        np.array([row[0] for row in rows], int),
        np.array([row[1] for row in rows], int),
        scores,
        np.array([row[3] for row in rows], int),
        np.concatenate([[0], np.cumsum(lengths, dtype=int)]),
        np.concatenate([*boxes, np.zeros((0, 4))]),
        np.repeat(scores, lengths),
    )


@pytest.fixture
def make_tubes() -> Callable[..., Tubes]:
    return build_tubes


@pytest.fixture
def make_truth() -> Callable[..., GroundTruth]:
    def make(
        rows: Sequence[tuple[int, int, int, Sequence[Box]]],
        videos: Sequence[str] = ("a", "b"),
        nframes: int = 40,
    ) -> GroundTruth:
        """Rows of video, class, first frame, boxes."""
        tubes = build_tubes([(v, c, 1.0, s, b) for v, c, s, b in rows], videos)
        counts, sizes = [nframes] * len(videos), [[240, 320]] * len(videos)
        return GroundTruth(LABELS, videos, counts, sizes, tubes, [[]], [list(videos)])

    return make


@pytest.fixture
def make_detections() -> Callable[..., Detections]:
    def make(
        rows: Sequence[DetectionRow],
        videos: Sequence[str] = ("a", "b"),
        nframes: int = 40,
        labels: Sequence[str] = LABELS,
        actionness: Any = None,
    ) -> Detections:
        video, frame, classes, scores, boxes = zip(*rows, strict=True) if rows else [[]] * 5
        boxes = np.array(boxes, float).reshape(-1, 4)
        counts = [nframes] * len(videos)
        return Detections.from_arrays(
            videos, labels, counts, video, frame, boxes, scores, classes, actionness
        )

    return make


@pytest.fixture
def crowd() -> Detections:
    """Objects that drift, vanish and return, with jitter, duplicates and equal scores."""
    rng = np.random.default_rng(3)
    rows, nframes = [], [60, 45, 30, 12]
    for video, length in enumerate(nframes):
        place = rng.uniform(0, 150, (4, 2))
        for frame in range(1, length + 1):
            place += rng.normal(0, 4, place.shape)
            for thing, (x, y) in enumerate(place):
                for _ in range(rng.integers(0, 4)):
                    box = np.array([x, y, x + 30, y + 50]) + rng.normal(0, 5, 4)
                    score = np.round(rng.random() * (1 if thing else 0.5), 2)
                    rows.append((video, frame, (thing + rng.integers(0, 2)) % 3, score, box))
    video, frame, classes, scores, boxes = zip(*rows, strict=True)
    names = ["a", "b", "c", "d"]
    return Detections.from_arrays(
        names, LABELS, nframes, video, frame, np.array(boxes), scores, classes
    )
