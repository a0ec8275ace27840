"""Putting tubes together from the boxes of paths, and taking them apart again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.structures import Tubes


class DetectionColumns(Protocol):
    """What ``assemble`` needs of ``Detections``; their order does not matter."""

    videos: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    actionness: np.ndarray | None


def best_mean(box_scores: np.ndarray, ptr: np.ndarray, count: int) -> np.ndarray:
    """Mean (T,) of the ``count`` best box scores of each tube, or of all where it has fewer."""
    lengths = np.diff(ptr)
    order = np.lexsort((-box_scores, np.repeat(np.arange(len(lengths)), lengths)))
    used = np.minimum(lengths, count)
    best = box_scores[order[ranges(ptr[:-1], used)]].astype(np.float64)
    return np.add.reduceat(best, np.cumsum(used) - used) / used if len(used) else np.zeros(0)


def assemble(
    detections: DetectionColumns,
    video: np.ndarray,
    path: np.ndarray,
    frame: np.ndarray,
    index: np.ndarray,
    options: LinkOptions,
) -> tuple[Tubes, np.ndarray]:
    """Tubes from the decisions of the linker: the detection ``index`` is ``path``'s at ``frame``.

    A path found in no more than ``options.gap`` frames is dropped, and so is one shorter than
    ``options.min_length`` frames. Missing frames get the box and score of the next found one
    (Singh et al. 2017), or are interpolated.

    Args:
        video: (K,) the video of each decision.
        path: (K,) numbers that are unique over the videos, in order of birth.
        frame: (K,) 1-based.
        index: (K,) into the detections.

    Returns:
        Tubes by video, class, and order of birth; and (M,) the detection behind each of their
        boxes, which is the next found one where a box fills a gap.
    """
    order = np.lexsort((frame, path, detections.classes[index], video))
    video, path, frame, index = video[order], path[order], frame[order], index[order]
    heads, pick, length = _long_paths(path, frame, options)
    frame, index = frame[pick], index[pick]
    new = np.diff(path[pick], prepend=-1) != 0
    step = np.where(new, 1, np.diff(frame, prepend=0))
    boxes, box_scores, actionness = (
        None if column is None else _fill(column[index], step, options.interpolate)
        for column in (detections.boxes, detections.scores, detections.actionness)
    )
    ptr = np.concatenate([[0], np.cumsum(length)])
    tubes = Tubes(
        detections.videos,
        detections.labels,
        video[heads],
        detections.classes[index[new]],
        best_mean(box_scores, ptr, options.score_boxes),
        frame[new],
        ptr,
        boxes,
        box_scores,
        actionness,
    )
    return tubes, np.repeat(index, step)


def _long_paths(
    path: np.ndarray, frame: np.ndarray, options: LinkOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the paths that become tubes, the first row and the length in frames; and their rows."""
    heads = np.flatnonzero(np.diff(path, prepend=-1))
    found = np.diff(heads, append=len(path))
    length = frame[heads + found - 1] - frame[heads] + 1
    kept = (found > options.gap) & (length >= options.min_length)
    return heads[kept], ranges(heads[kept], found[kept]), length[kept]


def _fill(found: np.ndarray, step: np.ndarray, interpolate: bool) -> np.ndarray:
    """One value a frame from the found ones, each ``step`` frames after the one before it."""
    if not interpolate:
        return np.repeat(found, step, axis=0)
    after = np.repeat(np.arange(len(found)), step)
    weight = (ranges(np.ones(len(step), np.int64), step) / step[after])[:, None]
    columns = found.reshape(len(found), math.prod(found.shape[1:]))
    filled = columns[after - 1] * (1 - weight) + columns[after] * weight
    return filled.astype(found.dtype).reshape(-1, *found.shape[1:])


def runs(tubes: Tubes, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs of consecutive boxes of a tube that stay: (R,) first box of each, and (R,) the box
    behind its last.

    Args:
        keep: (M,) bool, the boxes that stay.
    """
    tube = tubes.box_tubes
    apart = np.append(True, tube[1:] != tube[:-1])[: len(tube)]
    begins = np.flatnonzero(keep & (apart | ~np.append(False, keep[:-1])[: len(keep)]))
    ends = np.flatnonzero(keep & np.append((apart | ~keep)[1:], True)[: len(keep)]) + 1
    return begins, ends


def cut(
    tubes: Tubes, keep: np.ndarray, min_length: int, score_boxes: int
) -> tuple[Tubes, np.ndarray, np.ndarray]:
    """Drop boxes and make every run of consecutive boxes that stay a tube of its own.

    Args:
        keep: (M,) bool, the boxes that stay.
        min_length: shorter runs are dropped.
        score_boxes: a new tube's score is the mean of this many best box scores.

    Returns:
        The T' new tubes, (T',) the tube that each was a part of, and (M',) the box that each of
        their boxes was.
    """
    begins, ends = runs(tubes, keep)
    long = ends - begins >= min_length
    begins, lengths = begins[long], (ends - begins)[long]
    pick, parent = ranges(begins, lengths), tubes.box_tubes[begins]
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    pieces = replace(
        tubes,
        video=tubes.video[parent],
        classes=tubes.classes[parent],
        scores=best_mean(tubes.box_scores[pick], ptr, score_boxes),
        start=tubes.start[parent] + begins - tubes.ptr[parent],
        ptr=ptr,
        boxes=tubes.boxes[pick],
        box_scores=tubes.box_scores[pick],
        actionness=None if tubes.actionness is None else tubes.actionness[pick],
    )
    return pieces, parent, pick


def concatenate(parts: Sequence[Tubes]) -> Tubes:
    """All tubes of some sets that share their videos and labels, by video and class.

    Raises:
        ValueError: there is no set.
    """
    if not parts:
        raise ValueError("no tubes to concatenate")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("video", "classes", "scores", "start", "boxes", "box_scores")
    }
    if parts[0].actionness is not None:
        columns["actionness"] = np.concatenate([part.actionness for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    whole = replace(parts[0], **columns, ptr=np.concatenate([[0], np.cumsum(lengths)]))
    return whole.take(np.lexsort((whole.classes, whole.video)))


def join_videos(parts: Sequence[Tubes]) -> Tubes:
    """Tubes of one video each as one set, the videos in this order."""
    videos = np.concatenate([part.videos for part in parts])
    numbers = (np.full(len(part), i) for i, part in enumerate(parts))
    return concatenate([replace(p, videos=videos, video=n) for p, n in zip(parts, numbers)])
