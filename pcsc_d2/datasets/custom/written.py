"""What the writers of annotations share: how it is to be written, and tubes in plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.tubes.boxes import to_exclusive


@dataclass(frozen=True)
class WriteOptions:
    """How annotations are written.

    Attributes:
        scored: the tubes were detected, and their scores are written where the format has a place.
        tolerance: of CVAT, pixels that a box may be off between two key frames; None makes every
            frame one.
        rates: video -> frames per second, which AVA's seconds need.
    """

    scored: bool = False
    tolerance: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 <= self.tolerance < float("inf"):
            raise ValueError(f"tolerance {self.tolerance:g}: expected pixels, from 0 on")


class WrittenTube(NamedTuple):
    """A tube to be written.

    Attributes:
        video: its name.
        number: from 1, over all tubes.
        label: its class.
        score: its own.
        frames: (n,) from 1.
        boxes: (n, 4) edges x1 y1 x2 y2 in pixels: a box over a whole frame is 0 0 width height.
        scores: (n,) of its boxes.
        is_crowd: it is a region of many.
    """

    video: str
    number: int
    label: str
    score: float
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    is_crowd: bool = False


def written_tubes(truth: GroundTruth, crowds: bool = False) -> Iterator[WrittenTube]:
    """Every tube, in order; then crowds, where the format has a place for them."""
    yield from _written(truth, truth.tubes, 0, False)
    if crowds and truth.crowds is not None:
        yield from _written(truth, truth.crowds, len(truth.tubes), True)


def _written(truth: GroundTruth, tubes: Tubes, before: int, crowd: bool) -> Iterator[WrittenTube]:
    for i in range(len(tubes)):
        part = slice(tubes.ptr[i], tubes.ptr[i + 1])
        boxes = to_exclusive(tubes.boxes[part].astype(float))
        frames = tubes.start[i] + np.arange(len(boxes))
        video, label = str(tubes.videos[tubes.video[i]]), str(truth.labels[tubes.classes[i]])
        scores = tubes.box_scores[part]
        about = (video, before + i + 1, label, float(tubes.scores[i]))
        yield WrittenTube(*about, frames, boxes, scores, crowd)


def short(value: float) -> str:
    """A number with nine digits, which tell every 32-bit float apart."""
    return f"{value:.9g}"


def short_score(value: float) -> str:
    """A score as it is shown everywhere."""
    return f"{value:.4g}"
