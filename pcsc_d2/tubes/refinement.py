"""Temporal refinement of tubes by class-specific actionness (PCSC, Section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.assembly import cut
from pcsc_d2.tubes.checks import index_of, require
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import box_iou
from pcsc_d2.tubes.matching import join
from pcsc_d2.tubes.structures import Tubes

# Boxes whose windows are sorted at a time.
_CHUNK_BOXES = 1 << 16


@dataclass(frozen=True)
class RefineOptions:
    """How actionness cuts tubes.

    Attributes:
        threshold: boxes of lower smoothed actionness are dropped (the paper's value is not given).
        window: frames of the median filter, odd (nor is the paper's).
        min_length: shorter pieces are dropped, in frames.
        score_boxes: a piece's score is the mean of this many best box scores, as in linking.
    """

    threshold: float = 0.5
    window: int = 9
    min_length: int = 10
    score_boxes: int = 40

    def __post_init__(self) -> None:
        odd = self.window >= 1 and self.window % 2 == 1
        require(odd, f"window is {self.window}; expected an odd number of frames")
        for name in ("min_length", "score_boxes"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; at least 1")


@dataclass(frozen=True, eq=False)
class Refinement:
    """What refinement did to some tubes.

    Attributes:
        linked: the T tubes as they were linked.
        tubes: what is left of them.
        smoothed: (M,) actionness of the linked tubes' boxes after the median filter.
        kept: (M,) bool, smoothed actionness at the threshold or over it.
        parent: (T',) the linked tube of which each tube is a piece.
        options: how it was done.
    """

    linked: Tubes
    tubes: Tubes
    smoothed: np.ndarray
    kept: np.ndarray
    parent: np.ndarray
    options: RefineOptions

    @classmethod
    def of(cls, tubes: Tubes, options: RefineOptions | None = None) -> Refinement:
        """Drop boxes of low smoothed actionness (Section 3.4).

        The actionness is smoothed by a median filter along the tube; boxes under the threshold
        are dropped, which trims the ends of tubes and cuts them, and every run of boxes that stay
        is a tube of its own, scored anew.

        Raises:
            ValueError: the tubes carry no actionness.
        """
        options = options or RefineOptions()
        if tubes.actionness is None:
            raise ValueError("the tubes carry no actionness: link detections that have it")
        smoothed = median_filter(tubes.actionness, tubes.ptr, options.window)
        kept = smoothed >= np.float32(options.threshold)
        pieces, parent, _ = cut(tubes, kept, options.min_length, options.score_boxes)
        return cls(tubes, pieces, smoothed, kept, parent, options)

    @property
    def vanished(self) -> np.ndarray:
        """(T,) bool, the tubes all of whose boxes fell below the threshold."""
        any_kept = np.zeros(len(self.linked), bool)
        any_kept[self.linked.box_tubes[self.kept]] = True
        return ~any_kept

    @property
    def too_short(self) -> np.ndarray:
        """(T,) bool, the tubes of which boxes stay, but no piece of the least length."""
        gone = ~self.vanished
        gone[self.parent] = False
        return gone

    def summary(self) -> str:
        """One line: how many tubes there were, vanished, and are left."""
        count = len(self.linked)
        share = self.kept.mean() if len(self.kept) else 1.0
        return (
            f"Refinement (threshold {self.options.threshold:g}, median of {self.options.window} "
            f"frames): {count} tubes linked, {int(self.vanished.sum())} vanished (all boxes below "
            f"the threshold), {int(self.too_short.sum())} too short, {len(self.tubes)} left, "
            f"with {share:.0%} of the boxes"
        )


def refine(tubes: Tubes, options: RefineOptions | None = None) -> Tubes:
    """The tubes that ``Refinement.of`` leaves."""
    return Refinement.of(tubes, options).tubes


def median_filter(values: np.ndarray, ptr: np.ndarray, window: int) -> np.ndarray:
    """Median (M,) over ``window`` frames around each box, within its tube.

    Beyond the ends of a tube its first and last values count.

    Args:
        values: (M,) one value a box.
        ptr: (T+1,) the tubes' rows.
        window: odd number of frames.
    """
    offsets = np.arange(window) - window // 2
    low, high = np.repeat(ptr[:-1], np.diff(ptr)), np.repeat(ptr[1:] - 1, np.diff(ptr))
    smoothed = np.empty_like(values)
    for begin in range(0, len(values), _CHUNK_BOXES):
        part = slice(begin, begin + _CHUNK_BOXES)
        rows = np.arange(begin, min(begin + _CHUNK_BOXES, len(values)))[:, None] + offsets
        rows = np.clip(rows, low[part, None], high[part, None])
        smoothed[part] = np.partition(values[rows], window // 2, axis=1)[:, window // 2]
    return smoothed


def label_boxes(tubes: Tubes, ground_truth: GroundTruth, iou: float = 0.5) -> np.ndarray:
    """Labels for training the actionness detectors (Section 3.4).

    A box of a tube is 1 where its IoU with a ground-truth box of the tube's class in the same
    frame is over ``iou``, else 0; so the boxes that linking took along past the end of the action
    are the negatives.

    Returns:
        (M,) int8, one label for each box of ``tubes``.

    Raises:
        ValueError: a video or class that the ground truth does not have.
    """
    return (truth_overlaps(tubes, ground_truth) > iou).astype(np.int8)


def truth_overlaps(tubes: Tubes, ground_truth: GroundTruth) -> np.ndarray:
    """The largest IoU (M,) float64 of each box of tubes with a ground-truth box of the tube's class
    in the same frame; 0 where there is none.

    Raises:
        ValueError: as ``label_boxes``.
    """
    truth = ground_truth.tubes
    video = index_of(ground_truth.videos, tubes.videos, "video")[tubes.video]
    labels = np.array(ground_truth.labels, np.str_)
    cls = index_of(labels, tubes.labels, "class")[tubes.classes]
    frames = int(max(tubes.last.max(initial=1), ground_truth.nframes.max(initial=1)))
    keys = _frame_keys(tubes, video, cls, len(labels), frames)
    truth_keys = _frame_keys(truth, truth.video, truth.classes, len(labels), frames)
    boxes, truths = join(keys, truth_keys)
    overlaps = np.zeros(len(tubes.boxes))
    np.maximum.at(overlaps, boxes, box_iou(tubes.boxes[boxes], truth.boxes[truths]))
    return overlaps


def _frame_keys(
    tubes: Tubes, video: np.ndarray, cls: np.ndarray, num_classes: int, frames: int
) -> np.ndarray:
    """A number (M,) that boxes of the same video, class and frame share."""
    first = (video.astype(np.int64) * num_classes + cls) * frames
    return np.repeat(first, tubes.lengths) + tubes.box_frames - 1
