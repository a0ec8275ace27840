"""Crowds: regions in which nobody is annotated one by one, so that nothing found there is judged.

As COCO has it, so much of a box is in a crowd as their intersection makes of the box itself; so
much of a tube as its boxes have of their frames' crowds on average.
"""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.iou import box_share
from pcsc_d2.tubes.matching import join
from pcsc_d2.tubes.structures import Tubes


def detections_in_crowds(
    found: Detections, crowds: Tubes | None, plus_one: bool = True
) -> np.ndarray:
    """The share (N,) float64 of each detection's box that is in one crowd of its class.

    Args:
        found: detections with the labels of the crowds, of any of their videos.
        crowds: regions; None stands for none.
        plus_one: corners are inclusive.
    """
    frames = ranges(np.ones(len(found.nframes), np.int64), found.nframes.astype(np.int64))
    video = np.repeat(_index(found.videos, crowds), found.nframes)
    rows = found.frame_rows
    return _shares(found.boxes, video[rows], frames[rows], found.classes, crowds, plus_one)


def tubes_in_crowds(found: Tubes, crowds: Tubes | None, plus_one: bool = True) -> np.ndarray:
    """The share (T,) float64 of each tube that is in crowds of its class; see above.

    Args:
        found: tubes with the labels of the crowds, of any of their videos.
        crowds: regions; None stands for none.
        plus_one: corners are inclusive.
    """
    tubes = found.box_tubes
    video, classes = _index(found.videos, crowds)[found.video[tubes]], found.classes[tubes]
    shares = _shares(found.boxes, video, found.box_frames, classes, crowds, plus_one)
    return np.bincount(tubes, shares, len(found)) / found.lengths


def _index(videos: np.ndarray, crowds: Tubes | None) -> np.ndarray:
    """The crowds' number (V,) of each video, -1 where there is none."""
    names = [] if crowds is None else crowds.videos.tolist()
    numbers = {name: i for i, name in enumerate(names)}
    return np.array([numbers.get(name, -1) for name in videos.tolist()], np.int64)


def _shares(
    boxes: np.ndarray,
    video: np.ndarray,
    frame: np.ndarray,
    classes: np.ndarray,
    crowds: Tubes | None,
    plus_one: bool,
) -> np.ndarray:
    shares = np.zeros(len(boxes))
    if crowds is None or not len(crowds):
        return shares
    last = max(int(crowds.last.max()), int(frame.max(initial=0)))

    def keys(videos: np.ndarray, frames: np.ndarray, of: np.ndarray) -> np.ndarray:
        return (videos.astype(np.int64) * (last + 1) + frames) * len(crowds.labels) + of

    tubes = crowds.box_tubes
    regions = keys(crowds.video[tubes], crowds.box_frames, crowds.classes[tubes])
    rows, others = join(keys(video, frame, classes), regions)
    np.maximum.at(shares, rows, box_share(boxes[rows], crowds.boxes[others], plus_one))
    return shares
