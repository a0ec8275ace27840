"""Temporal labelling of tubes (Saha et al. 2016, Singh et al. 2017); PCSC leaves it off."""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes.assembly import cut
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.iou import box_iou
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.matching import pair_up
from pcsc_d2.tubes.structures import Tubes

SAME_OBJECT_IOU = 0.5


def label_in_time(
    tubes: Tubes, detections: Detections, options: LinkOptions
) -> tuple[Tubes, np.ndarray]:
    """Cut each tube to the runs of frames that are labelled with its own class.

    Returns:
        What is left of the tubes, and (M',) the box that each of their boxes was.
    """
    labels = viterbi(class_scores(tubes, detections), tubes.lengths, options.temporal_alpha or 0.0)
    own = labels == np.repeat(tubes.classes, tubes.lengths)
    pieces, _, boxes = cut(tubes, own, options.min_length, options.score_boxes)
    return pieces, boxes


def class_scores(tubes: Tubes, detections: Detections) -> np.ndarray:
    """Score (M, C) float32 of every class at every box of the tubes.

    The tube's own class has the box's score. Detections carry the score of one class each, so
    another class has its best score among the frame's detections that overlap the box by 0.5 or
    more, and 0 where there is none.
    """
    scores = np.zeros((len(tubes.boxes), len(tubes.labels)), np.float32)
    row = detections.video_ptr[np.repeat(tubes.video, tubes.lengths)] + tubes.box_frames - 1
    box, other = pair_up(detections.frame_ptr[row], np.diff(detections.frame_ptr)[row])
    near = box_iou(tubes.boxes[box], detections.boxes[other]) >= SAME_OBJECT_IOU
    box, other = box[near], other[near]
    np.maximum.at(scores, (box, detections.classes[other]), detections.scores[other])
    scores[np.arange(len(scores)), np.repeat(tubes.classes, tubes.lengths)] = tubes.box_scores
    return scores


def viterbi(scores: np.ndarray, lengths: np.ndarray, alpha: float) -> np.ndarray:
    """The labels (M,) of the greatest total score, each change of label costing ``alpha``.

    Args:
        scores: (M, C), the tubes' boxes one tube after the other.
        lengths: (T,) boxes of each tube.
    """
    starts = np.cumsum(lengths) - lengths
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    steps = int(lengths[0]) if len(lengths) else 0
    active = [int(np.searchsorted(-lengths, -step, side="left")) for step in range(steps)]
    total = np.zeros((len(lengths), scores.shape[1]))
    before = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    for step, count in enumerate(active):
        rows = starts[:count] + step
        if step:
            best = total[:count].argmax(axis=1)
            switched = total[np.arange(count), best][:, None] - alpha
            change = switched > total[:count]
            before[rows] = np.where(change, best[:, None], before[rows])
            total[:count] = np.where(change, switched, total[:count])
        total[:count] += scores[rows]
    labels = np.zeros(len(scores), np.int64)
    state = total.argmax(axis=1) if len(total) else np.zeros(0, np.int64)
    for step in reversed(range(steps)):
        rows = starts[: active[step]] + step
        labels[rows] = state[: active[step]]
        state[: active[step]] = before[rows, labels[rows]]
    return labels
