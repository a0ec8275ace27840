from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.video.timeline import clock, marks, pack_rows

SPANS = np.array([[0, 4], [2, 6], [4, 8], [6, 10]], float)


def test_rows_keep_spans_apart():
    assert pack_rows(SPANS).tolist() == [0, 1, 0, 1]
    assert pack_rows(SPANS[::-1]).tolist() == [1, 0, 1, 0]
    assert pack_rows(np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_no_spans_of_a_row_overlap(seed: int):
    rng = np.random.default_rng(seed)
    spans = np.sort(rng.integers(0, 60, (40, 2)), axis=1) + np.array([0, 1])
    rows = pack_rows(spans)
    depth = max(((spans[:, 0] <= t) & (t < spans[:, 1])).sum() for t in range(62))
    assert rows.max() + 1 == depth  # no row more than lie over one another
    for row in range(depth):
        inside = spans[rows == row]
        inside = inside[np.argsort(inside[:, 0])]
        assert (inside[1:, 0] >= inside[:-1, 1]).all()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 1.2, [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]),
        (7.3, 10, [7.5, 8, 8.5, 9, 9.5, 10]),
        (0, 3000, [0, 600, 1200, 1800, 2400, 3000]),
    ],
)
def test_marks_are_round(start: float, end: float, expected: list[float]):
    assert marks(start, end) == pytest.approx(expected)


@pytest.mark.parametrize("length", [1e-6, 0.04, 0.9, 59, 7000, 1e6])
def test_marks_are_few_and_inside(length: float):
    found = marks(3.0, 3.0 + length)
    assert len(found) <= 8
    assert all(3.0 - 1e-6 <= t <= 3.0 + length + 1e-6 for t in found)


def test_clock():
    assert [clock(t) for t in (0, 0.5, 12, 65, 3723.9)] == ["0", "0.5", "12", "1:05", "1:02:03"]
