"""Overlap of boxes and of tubes.

Boxes are x1 y1 x2 y2 in pixels with inclusive corners: a box is x2 - x1 + 1 wide. ``plus_one``
False leaves the 1 out, as MultiSports and the suppression of Singh et al. do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.structures import Tubes

# Frames overlapped at a time: the working set then stays in the processor's cache.
_CHUNK_FRAMES = 1 << 15


class TubeOverlap(NamedTuple):
    """Overlap of K pairs of tubes, each (K,) float64.

    Attributes:
        spatial: mean box IoU over the common frames, 0 where there are none.
        temporal: common frames over the frames of either, inclusive.
    """

    spatial: np.ndarray
    temporal: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """Spatio-temporal IoU: the product of the two."""
        return self.spatial * self.temporal


def box_iou(first: np.ndarray, second: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """IoU (K,) float64 of K pairs of boxes (K, 4); 0 where the union is empty."""
    common, area, other = _areas(first, second, plus_one)
    return _ratio(common, area + other - common)


def box_share(first: np.ndarray, second: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """The share (K,) float64 of the first of K pairs of boxes (K, 4) that is in the second."""
    common, area, _ = _areas(first, second, plus_one)
    return _ratio(common, area)


def _areas(first: np.ndarray, second: np.ndarray, plus_one: bool) -> tuple[np.ndarray, ...]:
    """Area that K pairs have in common, of the first and of the second, (K,) float64 each."""
    first, second = first.T.astype(np.float64), second.T.astype(np.float64)
    one = 1.0 if plus_one else 0.0
    width = np.minimum(first[2], second[2]) - np.maximum(first[0], second[0]) + one
    height = np.minimum(first[3], second[3]) - np.maximum(first[1], second[1]) + one
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area = (first[2] - first[0] + one) * (first[3] - first[1] + one)
    other = (second[2] - second[0] + one) * (second[3] - second[1] + one)
    return common, area, other


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def temporal_iou(
    first: Tubes, first_index: np.ndarray, second: Tubes, second_index: np.ndarray
) -> np.ndarray:
    """Temporal IoU (K,) float64 of K pairs of tubes: first and last frames inclusive."""
    begin = first.start[first_index], second.start[second_index]
    end = first.last[first_index], second.last[second_index]
    common = np.maximum(np.minimum(*end) - np.maximum(*begin) + 1, 0)
    return common / (np.maximum(*end) - np.minimum(*begin) + 1)


def tube_overlap(
    first: Tubes,
    first_index: np.ndarray,
    second: Tubes,
    second_index: np.ndarray,
    plus_one: bool = True,
) -> TubeOverlap:
    """Overlap of tubes ``first_index`` (K,) of one set with ``second_index`` (K,) of another.

    The definition is ACT-detector's (Kalogeiton et al. 2017): the mean spatial IoU over the common
    frames, and the temporal IoU; their product is the tube IoU.
    """
    temporal = temporal_iou(first, first_index, second, second_index)
    begin = np.maximum(first.start[first_index], second.start[second_index])
    end = np.minimum(first.last[first_index], second.last[second_index])
    common = np.maximum(end - begin + 1, 0).astype(np.int64)
    first_row = first.ptr[first_index] + begin - first.start[first_index]
    second_row = second.ptr[second_index] + begin - second.start[second_index]
    spatial = np.zeros(len(common))
    cuts = np.searchsorted(np.cumsum(common), np.arange(0, common.sum(), _CHUNK_FRAMES))
    for low, high in pairwise([*cuts.tolist(), len(common)]):
        part = low + np.flatnonzero(common[low:high])
        if part.size:
            iou = box_iou(
                first.boxes[ranges(first_row[part], common[part])],
                second.boxes[ranges(second_row[part], common[part])],
                plus_one,
            )
            heads = np.cumsum(common[part]) - common[part]
            spatial[part] = np.add.reduceat(iou, heads) / common[part]
    return TubeOverlap(spatial, temporal)
