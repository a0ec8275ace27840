"""Online linking of frame detections into paths (Singh et al. 2017), one frame at a time.

A group is what is linked independently of all else: a class of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.checks import check_boxes, check_finite, check_range, check_shape
from pcsc_d2.tubes.iou import box_iou
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.matching import later_in_group, match_greedily, pair_up, suppress


@dataclass(frozen=True, eq=False)
class LinkedFrame:
    """What one frame added.

    Attributes:
        index: (K,) the detections that were linked, as positions in the input; those that the
            filter dropped are not here. By group, best first.
        path: (K,) int64 the path that each continues or starts; numbers are never used again.
        path_score: (K,) float64 mean of the path's gap + 1 best box scores so far.
        ended: (E,) int64 paths that ended, as they found nothing in ``gap`` frames.
    """

    index: np.ndarray
    path: np.ndarray
    path_score: np.ndarray
    ended: np.ndarray


def filter_detections(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, options: LinkOptions
) -> np.ndarray:
    """Score threshold, best ``nms_top``, suppression, best ``top``: in each group of one frame.

    Returns:
        (K,) positions of the detections that stay, by group, best first.
    """
    index = np.flatnonzero(scores > options.min_score)
    index = index[np.lexsort((-scores[index], groups[index]))]
    index = index[_rank(groups[index]) < options.nms_top]
    first, second = later_in_group(groups[index])
    iou = box_iou(boxes[index[first]], boxes[index[second]], plus_one=False)
    over = iou > options.nms_iou
    index = index[suppress(first[over], second[over], len(index))]
    return index[_rank(groups[index]) < options.top]


class OnlineLinker:
    """Linker of a stream's detections, frame by frame; all groups in the same array operations.

    Paths choose in the order of the mean of their gap + 1 best box scores; each takes the free
    detection of the highest score among those that overlap its last box enough (Singh et al.
    2017). What is kept is the last box and the best scores of the live paths, so that memory does
    not grow with the stream.

    Args:
        groups: number of groups; for one stream, the number of classes.
    """

    def __init__(self, groups: int, options: LinkOptions | None = None) -> None:
        self.groups = groups
        self.options = options or LinkOptions()
        self._next_path = 0
        # Live paths, by group, first to choose first.
        self._path = np.zeros(0, np.int64)
        self._group = np.zeros(0, np.int64)
        self._box = np.zeros((0, 4), np.float32)
        self._misses = np.zeros(0, np.int64)
        self._found = np.zeros(0, np.int64)
        # The best scores, in ascending order and 0 where there are fewer.
        self._best = np.zeros((0, self.options.gap + 1))

    def update(self, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> LinkedFrame:
        """Take the next frame's detections, in any order.

        Args:
            boxes: (N, 4) pixels, corners inclusive.
            scores: (N,) in [0, 1].
            groups: (N,) the group of each; for one stream, its class (0-based).

        Raises:
            ValueError: wrong shapes, NaN, inverted boxes or an unknown group.
        """
        boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
        groups = np.asarray(groups, np.int64)
        _check_frame(boxes, scores, groups, self.groups)
        index = filter_detections(boxes, scores, groups, self.options)
        boxes, scores, groups = boxes[index], scores[index], groups[index]
        taken = self._match(boxes, groups)
        self._extend(taken, boxes, scores)
        hit = np.flatnonzero(taken >= 0)
        path, path_score = np.full(len(index), -1, np.int64), scores.astype(np.float64)
        path[taken[hit]], path_score[taken[hit]] = self._path[hit], self._order_score()[hit]
        born = np.flatnonzero(path < 0)
        path[born] = self._next_path + np.arange(len(born))
        self._next_path += len(born)
        ended = self._end_paths()
        self._start(path[born], boxes[born], scores[born], groups[born])
        return LinkedFrame(index, path, path_score, ended)

    def _match(self, boxes: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """(P,) the detection that each live path takes, or -1; detections are by group."""
        starts = np.searchsorted(groups, self._group, side="left")
        counts = np.searchsorted(groups, self._group, side="right") - starts
        paths, candidates = pair_up(starts, counts)
        near = box_iou(self._box[paths], boxes[candidates]) >= self.options.link_iou
        return match_greedily(paths[near], candidates[near], len(self._path), len(boxes))

    def _extend(self, taken: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> None:
        hit = np.flatnonzero(taken >= 0)
        self._misses += 1
        self._misses[hit] = 0
        self._found[hit] += 1
        self._box[hit] = boxes[taken[hit]]
        best = self._best[hit]
        best[:, 0] = np.maximum(best[:, 0], scores[taken[hit]])
        self._best[hit] = np.sort(best, axis=1)

    def _end_paths(self) -> np.ndarray:
        """Drop paths that missed too often, and put the others in the order of choice."""
        alive = self._misses < self.options.gap
        ended = self._path[~alive]
        order = np.lexsort((-self._order_score(), self._group))
        self._keep(order[alive[order]])
        return ended

    def _start(
        self, path: np.ndarray, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray
    ) -> None:
        """Add paths of one box each, behind the others of their group."""
        best = np.zeros((len(path), self._best.shape[1]))
        best[:, -1] = scores
        order = np.argsort(np.concatenate([self._group, groups]), kind="stable")
        self._path = np.concatenate([self._path, path])
        self._group = np.concatenate([self._group, groups])
        self._box = np.concatenate([self._box, boxes])
        self._misses = np.concatenate([self._misses, np.zeros(len(path), np.int64)])
        self._found = np.concatenate([self._found, np.ones(len(path), np.int64)])
        self._best = np.concatenate([self._best, best])
        self._keep(order)

    def _keep(self, order: np.ndarray) -> None:
        for name in ("_path", "_group", "_box", "_misses", "_found", "_best"):
            setattr(self, name, getattr(self, name)[order])

    def _order_score(self) -> np.ndarray:
        return self._best.sum(axis=1) / np.minimum(self._found, self._best.shape[1])


def _rank(groups: np.ndarray) -> np.ndarray:
    """Position of each row within its group; ``groups`` is sorted."""
    heads = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])[: len(groups)])
    return np.arange(len(groups)) - np.repeat(heads, np.diff(heads, append=len(groups)))


def _check_frame(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, size: int) -> None:
    check_shape("boxes", boxes, (len(scores), 4))
    check_shape("groups", groups, scores.shape)
    check_boxes(boxes, "detection {}".format)
    check_finite("scores", scores, "detection {}".format)
    check_range("groups", groups, size, "class", "detection {}".format)
