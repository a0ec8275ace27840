"""Actionness: labels for training, smoothing, trimming and cutting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pcsc_d2.tubes import GroundTruth, RefineOptions, Tubes, label_boxes, refine
from pcsc_d2.tubes.refinement import median_filter

BOX, NEAR, HALF = (0, 0, 99, 99), (0, 0, 99, 50), (0, 0, 99, 49)


def with_actionness(tubes: Tubes, values: list[float]) -> Tubes:
    return replace(tubes, actionness=np.array(values), fscores=np.linspace(0.1, 0.9, len(values)))


def test_labels_are_by_class_frame_and_overlap(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(1, 0, 3, [BOX] * 3), (0, 2, 1, [BOX] * 9)])
    tubes = make_tubes(
        [
            (0, 0, 0.9, 1, [BOX, BOX, BOX, NEAR, HALF, BOX]),  # the action is in frames 3 to 5
            (0, 1, 0.9, 3, [BOX]),  # another class
            (1, 2, 0.9, 9, [BOX, BOX]),
        ],
        videos=("b", "a"),
    )
    # NEAR overlaps by 0.51, HALF by 0.5, which is not over 0.5.
    assert label_boxes(tubes, truth).tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 0]
    assert label_boxes(tubes, truth, iou=0.4).tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 0]
    with pytest.raises(ValueError, match="unknown video 'b'"):
        label_boxes(tubes, truth.select(["a"]))


@pytest.mark.parametrize("window", [1, 3, 9])
def test_median_filter_stays_within_tubes(window: int) -> None:
    rng = np.random.default_rng(window)
    values, ptr = rng.random(40), np.array([0, 1, 20, 40])
    expected = []
    for begin, end in ((0, 1), (1, 20), (20, 40)):
        padded = np.pad(values[begin:end], window // 2, mode="edge")
        expected += [np.median(padded[i : i + window]) for i in range(end - begin)]
    np.testing.assert_array_equal(median_filter(values, ptr, window), expected)


def test_ends_are_trimmed_and_tubes_cut(make_tubes: Callable[..., Tubes]) -> None:
    low, high = 0.2, 0.8
    pattern = [low] * 3 + [high] * 5 + [low] * 4 + [high] * 4
    tubes = make_tubes([(0, 1, 0.9, 11, [BOX] * 16), (1, 2, 0.9, 5, [BOX] * 4)])
    tubes = with_actionness(tubes, pattern + [high] * 4)
    refined = refine(tubes, RefineOptions(threshold=0.5, window=3, min_length=1))
    assert refined.video.tolist() == [0, 0, 1]
    assert refined.cls.tolist() == [1, 1, 2]
    assert refined.start.tolist() == [14, 23, 5]
    assert refined.last.tolist() == [18, 26, 8]
    np.testing.assert_array_equal(refined.fscores[:5], tubes.fscores[3:8])
    np.testing.assert_allclose(refined.score[0], tubes.fscores[3:8].mean(), rtol=1e-6)
    long = refine(tubes, RefineOptions(threshold=0.5, window=3, min_length=5))
    assert long.start.tolist() == [14]


def test_a_single_frame_does_not_cut(make_tubes: Callable[..., Tubes]) -> None:
    values = [0.9] * 6 + [0.1] + [0.9] * 6
    tubes = with_actionness(make_tubes([(0, 0, 0.9, 1, [BOX] * 13)]), values)
    whole, cut = (refine(tubes, RefineOptions(window=window, min_length=1)) for window in (3, 1))
    assert whole.lengths.tolist() == [13]
    assert cut.lengths.tolist() == [6, 6]


def test_a_box_at_the_threshold_stays(make_tubes: Callable[..., Tubes]) -> None:
    tubes = with_actionness(make_tubes([(0, 0, 0.9, 1, [BOX] * 2)]), [0.5, 0.25])
    refined = refine(tubes, RefineOptions(threshold=0.5, window=1, min_length=1))
    assert refined.lengths.tolist() == [1]
    nothing = refine(tubes, RefineOptions(threshold=0.6, window=1, min_length=1))
    assert len(nothing) == 0


def test_what_cannot_be_refined_is_said(make_tubes: Callable[..., Tubes]) -> None:
    with pytest.raises(ValueError, match="carry no actionness"):
        refine(make_tubes([(0, 0, 0.9, 1, [BOX])]))
    with pytest.raises(ValueError, match="odd number"):
        RefineOptions(window=4)
