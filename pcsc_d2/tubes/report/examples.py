"""The tubes that a report shows: the best, and the mistakes that cost most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.scoring.candidates import TubeCandidates
from pcsc_d2.tubes.scoring.errors import KINDS, OTHER, RIGHT, classify_tubes
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes


def notable_tubes(
    tubes: Tubes,
    ground_truth: GroundTruth,
    count: int = 4,
    iou: float = 0.5,
    protocol: str | Protocol = "act",
) -> list[tuple[str, Tubes]]:
    """The ``count`` right tubes of highest tube IoU, then the wrong ones of highest score.

    At most one of each is of a video, so that the pictures differ.

    Returns:
        A caption and a set of one tube each; the set's ``videos`` are the ground truth's.
    """
    unsuppressed = replace(get_protocol(protocol), tube_nms=None)
    candidates = TubeCandidates(tubes, ground_truth, unsuppressed)
    tubes = candidates.found
    kinds = classify_tubes(candidates, iou)
    overlap = np.zeros(len(tubes))
    np.maximum.at(overlap, candidates.detection, candidates.iou)
    right = np.flatnonzero(kinds == RIGHT)
    wrong = np.flatnonzero(kinds != RIGHT)
    chosen = [
        *_first_of_videos(tubes, right[np.argsort(-overlap[right], kind="stable")], count),
        *_first_of_videos(tubes, wrong[np.argsort(-tubes.scores[wrong], kind="stable")], count),
    ]
    return [(_caption(tubes, i, KINDS[kinds[i]], overlap[i]), tubes.take([i])) for i in chosen]


def _first_of_videos(tubes: Tubes, order: np.ndarray, count: int) -> list[int]:
    _, first = np.unique(tubes.video[order], return_index=True)
    return order[np.sort(first)[:count]].tolist()


def _caption(tubes: Tubes, i: int, kind: str, overlap: float) -> str:
    verdict = (
        "right"
        if kind == KINDS[RIGHT]
        else f"wrong ({kind if kind != KINDS[OTHER] else 'background'})"
    )
    return (
        f"{verdict}: {tubes.labels[tubes.classes[i]]}, score {tubes.scores[i]:.2f}, "
        f"tube IoU {overlap:.2f}, {tubes.videos[tubes.video[i]]}, "
        f"frames {tubes.start[i]} to {tubes.last[i]}"
    )
