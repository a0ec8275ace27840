"""Brings detections and tubes into the order and the numbering of a ground truth."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.checks import index_of
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.structures import Tubes


def align_detections(detections: Detections, ground_truth: GroundTruth) -> Detections:
    """The detections of the ground truth's videos and classes, in its order.

    Warns of videos that only one of the two knows: the ground truth's have no detections then,
    and all their tubes are missed; the others are left out.

    Raises:
        ValueError: a class that the ground truth does not have.
    """
    _warn_of_videos(detections.videos, ground_truth)
    known = set(detections.videos.tolist())
    names = np.array([n for n in ground_truth.videos.tolist() if n in known], np.str_)
    detections = detections.select(names)
    labels = np.array(ground_truth.labels, np.str_)
    if not np.array_equal(detections.labels, labels):
        classes = _classes(detections.labels, ground_truth)[detections.classes]
        video = np.searchsorted(detections.video_ptr, detections.frame_rows, side="right") - 1
        detections = Detections.from_arrays(
            names,
            labels,
            detections.nframes,
            video,
            detections.frame_rows - detections.video_ptr[video] + 1,
            detections.boxes,
            detections.scores,
            classes,
            detections.actionness,
        )
    return detections


def align_tubes(tubes: Tubes, ground_truth: GroundTruth) -> Tubes:
    """The tubes of the ground truth's videos and classes, in its order, best first within a class.

    Equal scores are ordered by extent and first box, so that the order of the input never
    matters. Warns and raises as ``align_detections``.
    """
    _warn_of_videos(tubes.videos, ground_truth)
    position = {name: i for i, name in enumerate(ground_truth.videos.tolist())}
    numbers = np.array([position.get(name, -1) for name in tubes.videos.tolist()], np.int64)
    video = numbers[tubes.video]
    classes = _classes(tubes.labels, ground_truth)[tubes.classes]
    first_box = tubes.boxes[tubes.ptr[:-1]]
    order = np.lexsort(
        (*first_box.T[::-1], tubes.lengths, tubes.start, -tubes.scores, classes, video)
    )
    order = order[video[order] >= 0]
    labels = np.array(ground_truth.labels, np.str_)
    renumbered = {"video": video[order], "classes": classes[order]}
    # The videos change with the numbers, and neither is valid without the other.
    return replace(tubes.take(order), videos=ground_truth.videos, labels=labels, **renumbered)


def frame_numbers(
    detections: Detections, ground_truth: GroundTruth
) -> tuple[np.ndarray, np.ndarray]:
    """Number the frames of all videos, with room for the frames of either count.

    Returns:
        (N,) int64, the frame of each of the aligned detections; (M,) int64, that of each
        ground-truth box.
    """
    frames = ground_truth.nframes.astype(np.int64)
    index = index_of(ground_truth.videos, detections.videos, "video")
    frames[index] = np.maximum(frames[index], detections.nframes)
    first, tubes = np.cumsum(frames) - frames, ground_truth.tubes
    rows = ranges(first[index], detections.nframes.astype(np.int64))
    numbers = np.repeat(rows, np.diff(detections.frame_ptr))
    return numbers, np.repeat(first[tubes.video], tubes.lengths) + tubes.box_frames - 1


def _classes(labels: np.ndarray, ground_truth: GroundTruth) -> np.ndarray:
    return index_of(np.array(ground_truth.labels, np.str_), labels, "class")


def _warn_of_videos(videos: np.ndarray, ground_truth: GroundTruth) -> None:
    ours, theirs = set(ground_truth.videos.tolist()), set(videos.tolist())
    if theirs - ours:
        warnings.warn(
            f"{len(theirs - ours)} videos are not in the ground truth and are left out, "
            f"such as '{min(theirs - ours)}'",
            stacklevel=3,
        )
    if ours - theirs:
        warnings.warn(
            f"{len(ours - theirs)} videos of the ground truth are not among the results and count "
            f"as missed, such as '{min(ours - theirs)}'",
            stacklevel=3,
        )
