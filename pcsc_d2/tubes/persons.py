"""Who is who: tubes of any class that follow one actor become one person.

Two tubes are taken for one actor where their boxes lie on one another in the frames that they have
in common, or, if they have none, where the second begins soon after the first has ended and about
where it ended. The best pair is joined first, then the next, and so on; never so that somebody
would be in two places at once. Nothing but boxes is looked at, so whoever leaves and comes back
later, or elsewhere, is somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pcsc_d2.tubes.iou import box_iou, tube_overlap
from pcsc_d2.tubes.matching import pair_up
from pcsc_d2.tubes.structures import Tubes


@dataclass(frozen=True)
class PersonOptions:
    """When tubes are one person's.

    Attributes:
        overlap: the least mean IoU over the frames that two tubes have in common, or IoU of the
            last box of one and the first of the next.
        apart: two tubes whose mean IoU is less are in two places, whatever joins them to others.
        gap: frames from the end of one tube to the beginning of the next, at most.
    """

    overlap: float = 0.5
    apart: float = 0.2
    gap: int = 25

    def __post_init__(self) -> None:
        if not 0 <= self.apart <= self.overlap <= 1:
            raise ValueError(f"apart {self.apart:g}, overlap {self.overlap:g}: 0 to 1, in order")
        if self.gap < 0:
            raise ValueError(f"gap {self.gap}: frames, from 0 on")


def find_persons(tubes: Tubes, options: PersonOptions | None = None) -> np.ndarray:
    """The person (T,) int64 of every tube: numbers from 1 on, by video and first frame."""
    options = options or PersonOptions()
    order = np.lexsort([np.arange(len(tubes)), tubes.start, tubes.video])
    first, second = _pairs(tubes, order, options.gap)
    together = tubes.last[first] >= tubes.start[second]
    iou = _likeness(tubes, first, second, together)
    apart = together & (iou < options.apart)
    places = set(zip(first[apart].tolist(), second[apart].tolist()))
    alike = np.flatnonzero(iou >= options.overlap)
    # Who is there at the same time first: what follows in time is less certain.
    alike = alike[np.lexsort([second[alike], first[alike], -iou[alike], ~together[alike]])]
    pairs = zip(first[alike].tolist(), second[alike].tolist())
    groups = _joined(len(tubes), pairs, places)
    persons = np.zeros(len(tubes), np.int64)
    numbers: dict[int, int] = {}
    for tube in order.tolist():
        persons[tube] = numbers.setdefault(groups[tube], len(numbers) + 1)
    return persons


def _pairs(tubes: Tubes, order: np.ndarray, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tubes of one video of which the second begins within or soon after the first."""
    span = int(tubes.last.max(initial=0)) + gap + 2
    key = tubes.video[order].astype(np.int64) * span
    begin, end = key + tubes.start[order], key + tubes.last[order] + gap
    after = np.arange(len(order)) + 1
    counts = np.maximum(np.searchsorted(begin, end, side="right") - after, 0)
    rows, columns = pair_up(after, counts)
    return order[rows], order[columns]


def _likeness(
    tubes: Tubes, first: np.ndarray, second: np.ndarray, together: np.ndarray
) -> np.ndarray:
    """(K,) mean IoU over common frames, or IoU of the last box and the first where none are."""
    iou = np.zeros(len(first))
    one, two = first[together], second[together]
    iou[together] = tube_overlap(tubes, one, tubes, two).spatial
    one, two = first[~together], second[~together]
    iou[~together] = box_iou(tubes.boxes[tubes.ptr[one + 1] - 1], tubes.boxes[tubes.ptr[two]])
    return iou


def _joined(
    count: int, pairs: Iterable[tuple[int, int]], places: set[tuple[int, int]]
) -> dict[int, int]:
    """Tube -> a tube that stands for its person; no two of ``places`` are one's."""
    members = {tube: [tube] for tube in range(count)}
    group = {tube: tube for tube in range(count)}
    for one, two in pairs:
        a, b = group[one], group[two]
        if a == b or _in_two_places(members[a], members[b], places):
            continue
        for tube in members[b]:
            group[tube] = a
        members[a] += members.pop(b)
    return group


def _in_two_places(one: list[int], two: list[int], places: set[tuple[int, int]]) -> bool:
    return any((a, b) in places or (b, a) in places for a in one for b in two)
