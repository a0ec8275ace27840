"""Actionness: labels for training, smoothing, trimming and cutting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pcsc_d2.tubes import (
    GroundTruth,
    Refinement,
    RefineOptions,
    Tubes,
    choose_refinement,
    label_boxes,
    refine,
    temporal_overlap,
    truth_overlaps,
)
from pcsc_d2.tubes.refinement import median_filter
from pcsc_d2.tubes.report.actionness_curves import notable_curves
from pcsc_d2.tubes.report.charts import actionness_chart

BOX, NEAR, HALF, FAR = (0, 0, 99, 99), (0, 0, 99, 50), (0, 0, 99, 49), (0, 45, 99, 144)


def with_actionness(tubes: Tubes, values: list[float]) -> Tubes:
    return replace(
        tubes, actionness=np.array(values), box_scores=np.linspace(0.1, 0.9, len(values))
    )


def test_labels_are_by_class_frame_and_overlap(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    # A second actor of class 0, before and behind whom the first one is in the list.
    second = [(1, 0, 3, [FAR] * 3)]
    truth = make_truth([*second, (1, 0, 3, [BOX] * 3), *second, (0, 2, 1, [BOX] * 9)])
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
    overlaps = truth_overlaps(tubes, truth)
    np.testing.assert_allclose(overlaps, [0, 0, 1, 0.51, 0.5, 0, 0, 1, 0])
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
    assert refined.classes.tolist() == [1, 1, 2]
    assert refined.start.tolist() == [14, 23, 5]
    assert refined.last.tolist() == [18, 26, 8]
    np.testing.assert_array_equal(refined.box_scores[:5], tubes.box_scores[3:8])
    np.testing.assert_allclose(refined.scores[0], tubes.box_scores[3:8].mean(), rtol=1e-6)
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


def test_tubes_that_vanish_are_counted(make_tubes: Callable[..., Tubes]) -> None:
    tubes = make_tubes([(0, 0, 0.9, 1, [BOX] * n) for n in (4, 3, 6)])
    #                                    vanishes   too short  two pieces of 2
    tubes = with_actionness(tubes, [0.1] * 4 + [0.1, 0.9, 0.1] + [0.9, 0.9, 0.1, 0.1, 0.9, 0.9])
    done = Refinement.of(tubes, RefineOptions(threshold=0.5, window=1, min_length=2))
    assert done.vanished.tolist() == [True, False, False]
    assert done.too_short.tolist() == [False, True, False]
    assert done.parent.tolist() == [2, 2]
    assert done.tubes.start.tolist() == [1, 5]
    summary = done.summary()
    assert "3 tubes linked, 1 vanished" in summary
    assert "1 too short, 2 left, with 38% of the boxes" in summary


def test_window_and_threshold_of_the_best_video_map_are_chosen(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    # The action is in frames 6 to 25; one frame within it looks as if it were over.
    truth = make_truth([(0, 0, 6, [BOX] * 20)])
    values = [0.3] * 5 + [0.7] * 10 + [0.1] + [0.7] * 9 + [0.3] * 5
    tubes = with_actionness(make_tubes([(0, 0, 0.9, 1, [BOX] * 30)]), values)
    base = RefineOptions(min_length=1)
    choice = choose_refinement(tubes, truth, (1, 3), (0.2, 0.5, 0.8), base)
    assert (choice.options.window, choice.options.threshold) == (3, 0.5)
    assert choice.best == 100
    # Untouched, the tube's IoU is 20 / 30; cut in two, the longer piece's is 10 / 20.
    assert choice.unrefined == pytest.approx(40)
    assert choice.scores[1, 0.5] < choice.scores[3, 0.5]
    assert choice.scores[3, 0.8] == 0


def test_refinement_that_never_helps_is_off(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 20)])
    tubes = with_actionness(make_tubes([(0, 0, 0.9, 1, [BOX] * 20)]), [0.5] * 10 + [0.9] * 10)
    choice = choose_refinement(tubes, truth, (1, 3), (0.2, 0.6, 0.95))
    assert choice.options.threshold == 0
    assert len(refine(tubes, choice.options)) == 1


def test_temporal_overlap_of_matched_tubes(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 6, [BOX] * 20), (1, 1, 1, [BOX] * 10), (1, 2, 1, [BOX] * 10)])
    # The first is seen in 30 frames; of the second half; the third not at all.
    tubes = make_tubes([(0, 0, 0.9, 1, [BOX] * 30), (1, 1, 0.8, 6, [BOX] * 10)])
    values = temporal_overlap(tubes, truth)
    np.testing.assert_allclose(values, [20 / 30, 5 / 15, np.nan])


def test_curves_of_the_best_and_the_worst(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 6, [BOX] * 10), (1, 1, 1, [BOX] * 10)])
    rows = [(0, 0, 0.9, 1, [BOX] * 20), (0, 0, 0.2, 1, [BOX] * 20), (1, 1, 0.8, 1, [BOX] * 10)]
    values = [0.1] * 5 + [0.9] * 10 + [0.1] * 5 + [0.1] * 20 + [0.1] * 10
    linked = with_actionness(make_tubes(rows), values)
    done = Refinement.of(linked, RefineOptions(threshold=0.5, window=1, min_length=2))
    found = notable_curves(done, truth)
    (best,), (worst,) = found["best"], found["worst"]
    # The better-scored of the two tubes on the first actor speaks for it.
    assert (best.start, best.kept, best.truth, best.nframes) == (1, [(6, 15)], [(6, 15)], 40)
    assert "tube IoU 0.50 before, 1.00 after; 1 piece left" in best.caption
    assert worst.kept == []
    assert "jump" in worst.caption
    assert "tube IoU 1.00 before, 0.00 after; nothing left" in worst.caption
    np.testing.assert_array_equal(best.raw, linked.actionness[:20])
    drawn = actionness_chart(best)
    for name in ("raw", "smoothed"):
        assert len(drawn.split(f'line {name}" points="')[1].split('"')[0].split()) == 20
    assert "truth: frames 6 to 15" in drawn
    assert "refined: frames 6 to 15" in drawn
    assert "linked: frames 1 to 20" in drawn
    with pytest.raises(ValueError, match="other videos"):
        notable_curves(done, truth.select(["b", "a"]))
