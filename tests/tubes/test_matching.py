"""Greedy matching and suppression in rounds give what plain loops give; overlaps by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pcsc_d2.tubes import Tubes
from pcsc_d2.tubes.iou import box_iou, tube_overlap
from pcsc_d2.tubes.matching import later_in_group, match_greedily, suppress


@pytest.mark.parametrize("seed", range(20))
def test_match_greedily_is_the_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((12, 9)) < 0.4)
    shuffled = rng.permutation(len(rows))
    shuffled = shuffled[np.argsort(rows[shuffled], kind="stable")]
    rows, columns = rows[shuffled], columns[shuffled]
    expected, free = np.full(12, -1), set(range(9))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if expected[row] < 0 and column in free:
            expected[row] = column
            free.remove(column)
    assert match_greedily(rows, columns, 12, 9).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_suppress_is_the_plain_loop(seed: int) -> None:
    over = np.triu(np.random.default_rng(seed).random((15, 15)) < 0.25, 1)
    expected = np.ones(15, bool)
    for i in range(15):
        if expected[i]:
            expected[over[i]] = False
    assert suppress(*np.nonzero(over), 15).tolist() == expected.tolist()


def test_pairs_within_groups() -> None:
    first, second = later_in_group(np.array([0, 0, 0, 2, 3, 3]))
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 2), (4, 5)]
    assert later_in_group(np.zeros(0, int))[0].size == 0


@pytest.mark.parametrize(
    ("first", "second", "inclusive", "exclusive"),
    [
        # 10 x 10 pixels inclusive; the right half of it.
        ((0, 0, 9, 9), (5, 0, 9, 9), 0.5, 4 * 9 / 81),
        ((0, 0, 9, 9), (9, 9, 18, 18), 1 / 199, 0),
        ((0, 0, 9, 9), (10, 0, 19, 9), 0, 0),
        ((3, 4, 3, 4), (3, 4, 3, 4), 1, 0),
    ],
)
def test_box_iou(first: tuple, second: tuple, inclusive: float, exclusive: float) -> None:
    pair = np.array([first], np.float32), np.array([second], np.float32)
    assert box_iou(*pair)[0] == pytest.approx(inclusive)
    assert box_iou(*pair, plus_one=False)[0] == pytest.approx(exclusive)


def test_tube_overlap(make_tubes: Callable[..., Tubes]) -> None:
    whole, half, far = (0, 0, 9, 9), (5, 0, 9, 9), (50, 50, 59, 59)
    tubes = make_tubes(
        [
            (0, 0, 1.0, 11, [whole] * 10),  # frames 11 to 20
            (0, 0, 1.0, 13, [whole] * 3),  # 13 to 15, inside it
            (0, 0, 1.0, 19, [half, whole, whole, whole]),  # 19 to 22
            (0, 0, 1.0, 21, [whole]),  # one frame, after it
            (0, 0, 1.0, 20, [whole]),  # one frame, its last
            (0, 0, 1.0, 11, [far] * 10),
        ]
    )
    overlap = tube_overlap(tubes, np.zeros(6, int), tubes, np.arange(6))
    np.testing.assert_allclose(overlap.spatial, [1, 1, 0.75, 0, 1, 0])
    np.testing.assert_allclose(overlap.temporal, [1, 0.3, 2 / 12, 0, 0.1, 1])
    np.testing.assert_allclose(overlap.iou, [1, 0.3, 0.125, 0, 0.1, 0])


def test_tube_overlap_in_chunks(make_tubes: Callable[..., Tubes]) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (300, 500, 2))
    boxes = np.concatenate([corners, corners + 40], axis=2)
    tubes = make_tubes([(0, 0, 1.0, 1 + i % 7, box) for i, box in enumerate(boxes)])
    first, second = rng.integers(0, 300, (2, 400))
    together = tube_overlap(tubes, first, tubes, second).iou
    apart = [tube_overlap(tubes, first[[i]], tubes, second[[i]]).iou[0] for i in range(400)]
    np.testing.assert_allclose(together, apart)
