"""Which tubes show what refinement did, and the curves of their actionness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.checks import require
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import tube_overlap
from pcsc_d2.tubes.matching import join
from pcsc_d2.tubes.refinement import Refinement
from pcsc_d2.tubes.structures import Tubes

Extent = tuple[int, int]
# A tube is about a ground truth that it overlaps by this, on the average of the common frames.
SAME_ACTOR_IOU = 0.3


@dataclass(frozen=True, eq=False)
class ActionnessCurve:
    """Actionness along one linked tube.

    Attributes:
        caption: whose it is, and what refinement did to it.
        start: first frame, 1-based.
        raw: (n,) actionness of each box.
        smoothed: (n,) after the median filter.
        threshold: boxes below it were dropped.
        kept: first and last frame of every piece that is left.
        truth: first and last frame of every ground truth of its class in its video.
        nframes: of the video.
    """

    caption: str
    start: int
    raw: np.ndarray
    smoothed: np.ndarray
    threshold: float
    kept: list[Extent]
    truth: list[Extent]
    nframes: int


def notable_curves(
    refinement: Refinement, ground_truth: GroundTruth, count: int = 4
) -> dict[str, list[ActionnessCurve]]:
    """Curves of the linked tubes that refinement did most good and most harm to.

    For each ground-truth tube the linked tube of highest score on the same actor counts, judged
    by how its tube IoU with the ground truth changes (the best piece's; 0 if nothing is left).

    Args:
        refinement: of tubes over the ground truth's videos and labels.
        count: of each.

    Returns:
        "best" and "worst", by that change; none is in both.
    """
    linked, pieces = refinement.linked, refinement.tubes
    require(
        np.array_equal(linked.videos, ground_truth.videos)
        and np.array_equal(linked.labels, np.array(ground_truth.labels, np.str_)),
        "the tubes are numbered by other videos or labels than the ground truth",
    )
    tube, truth, before = _best_tubes(linked, ground_truth.tubes)
    piece, about, iou = _on_actor(pieces, ground_truth.tubes)
    after = np.zeros(len(tube))
    chosen = {pair: i for i, pair in enumerate(zip(tube.tolist(), truth.tolist(), strict=True))}
    pairs = zip(refinement.parent[piece].tolist(), about.tolist(), iou, strict=True)
    for parent, g, value in pairs:
        if (parent, g) in chosen:
            i = chosen[parent, g]
            after[i] = max(after[i], value)
    order = np.argsort(before - after, kind="stable")
    half = min(count, (len(order) + 1) // 2)
    worst = order[half:][::-1][:count]

    def curve(i: int) -> ActionnessCurve:
        return _curve(refinement, ground_truth, int(tube[i]), before[i], after[i])

    return {"best": [curve(i) for i in order[:half]], "worst": [curve(i) for i in worst]}


def _on_actor(tubes: Tubes, truth: Tubes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair of a tube and a ground truth of its class that it follows in space, and their IoU."""
    rows, truths = join(_keys(tubes), _keys(truth))
    overlap = tube_overlap(tubes, rows, truth, truths)
    near = overlap.spatial >= SAME_ACTOR_IOU
    return rows[near], truths[near], overlap.iou[near]


def _best_tubes(tubes: Tubes, truth: Tubes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each ground truth the tube of highest score that follows it."""
    rows, truths, iou = _on_actor(tubes, truth)
    order = np.lexsort((-tubes.scores[rows], truths))
    rows, truths, iou = rows[order], truths[order], iou[order]
    first = np.flatnonzero(np.diff(truths, prepend=-1))
    return rows[first], truths[first], iou[first]


def _keys(tubes: Tubes) -> np.ndarray:
    return tubes.video.astype(np.int64) * len(tubes.labels) + tubes.classes


def _curve(
    refinement: Refinement, ground_truth: GroundTruth, i: int, before: float, after: float
) -> ActionnessCurve:
    linked, pieces, truth = refinement.linked, refinement.tubes, ground_truth.tubes
    video, label = linked.videos[linked.video[i]], linked.labels[linked.classes[i]]
    boxes = slice(linked.ptr[i], linked.ptr[i + 1])
    left = np.flatnonzero(refinement.parent == i)
    fate = f"{len(left)} piece{'s' * (len(left) > 1)} left" if len(left) else "nothing left"
    caption = (
        f"{label}, score {linked.scores[i]:.2f}, {video}: tube IoU {before:.2f} before, "
        f"{after:.2f} after; {fate}"
    )
    own = np.flatnonzero(_keys(truth) == _keys(linked)[i])
    return ActionnessCurve(
        caption,
        int(linked.start[i]),
        linked.actionness[boxes],
        refinement.smoothed[boxes],
        refinement.options.threshold,
        [(int(pieces.start[k]), int(pieces.last[k])) for k in left],
        [(int(truth.start[k]), int(truth.last[k])) for k in own],
        int(ground_truth.nframes[linked.video[i]]),
    )
