"""Inclusive and exclusive boxes."""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes.boxes import scale_boxes, to_exclusive, to_inclusive


def test_there_and_back() -> None:
    boxes = np.array([[3, 4, 12, 15], [0, 0, 0, 0]], np.float32)
    assert to_exclusive(boxes).tolist() == [[3, 4, 13, 16], [0, 0, 1, 1]]
    assert np.array_equal(to_inclusive(to_exclusive(boxes)), boxes)
    assert to_exclusive(boxes).dtype == to_inclusive(boxes).dtype == np.float32


def test_less_than_a_pixel_is_one() -> None:
    assert to_inclusive(np.array([5.0, 5.0, 5.5, 9.0])).tolist() == [5, 5, 5, 8]


def test_edges_are_what_scales() -> None:
    boxes = np.array([[0.0, 1.0, 9.0, 4.0]])
    assert scale_boxes(boxes, 3).tolist() == [[0, 3, 29, 14]]
    assert scale_boxes(boxes, np.array([2, 1, 2, 1])).tolist() == [[0, 1, 19, 4]]
    assert np.array_equal(scale_boxes(scale_boxes(boxes, 4), 0.25), boxes)
