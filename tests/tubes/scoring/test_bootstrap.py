"""Draws of videos against scores of what was drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, video_map
from pcsc_d2.tubes.scoring.bootstrap import paired_interval, resampled_map
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates

BOX = (0, 0, 99, 99)
FAR = (200, 200, 219, 219)


@pytest.fixture
def truth(make_truth: Callable[..., GroundTruth]) -> GroundTruth:
    rows = [(v, v % 2, 1, [BOX] * 10) for v in range(4)]
    return make_truth(rows, videos=list("abcd"))


def detections(make: Callable[..., Detections], right: dict[int, bool]) -> Detections:
    """One detection a frame, each surer than that of the video before."""
    rows = [
        (v, f, v % 2, 0.2 + v / 10, BOX if good else FAR)
        for v, good in right.items()
        for f in range(1, 11)
    ]
    return make(rows, videos=list("abcd"))


def test_all_videos_once_is_the_score(
    make_detections: Callable[..., Detections],
    make_tubes: Callable[..., Tubes],
    truth: GroundTruth,
) -> None:
    found = detections(make_detections, {0: True, 1: False, 2: False, 3: True})
    ones = np.ones((1, 4), int)
    expected = frame_map(found, truth).mean
    assert 0 < expected < 100
    assert resampled_map(FrameCandidates(found, truth), 0.5, ones) == pytest.approx(expected)
    tubes = make_tubes(
        [(0, 0, 0.3, 1, [BOX] * 10), (2, 0, 0.9, 1, [FAR] * 10)], videos=list("abcd")
    )
    expected = video_map(tubes, truth, [0.5])[0.5].mean
    assert resampled_map(TubeCandidates(tubes, truth), 0.5, ones) == pytest.approx(expected)


def test_videos_left_out_are_those_of_the_rest(
    make_detections: Callable[..., Detections], truth: GroundTruth
) -> None:
    found = detections(make_detections, {0: True, 1: False, 2: False, 3: True})
    drawn = np.array([[1, 1, 0, 1], [1, 0, 1, 0]])
    expected = [
        frame_map(found.select(list(names)), truth.select(list(names))).mean
        for names in ("abd", "ac")
    ]
    values = resampled_map(FrameCandidates(found, truth), 0.5, drawn)
    assert values == pytest.approx(expected)


def test_a_video_drawn_twice_counts_twice(
    make_detections: Callable[..., Detections], truth: GroundTruth
) -> None:
    found = detections(make_detections, {0: True})
    # Found are 10 of 20, or of 30 where c is drawn twice, and 20 of 30 where a is.
    drawn = np.array([[1, 0, 1, 0], [1, 0, 2, 0], [2, 0, 1, 0]])
    values = resampled_map(FrameCandidates(found, truth), 0.5, drawn)
    assert values == pytest.approx([50, 100 / 3, 200 / 3])


def test_interval_of_a_difference(
    make_detections: Callable[..., Detections], truth: GroundTruth
) -> None:
    worse = FrameCandidates(detections(make_detections, {0: True, 1: True}), truth)
    everything = dict.fromkeys(range(4), True)
    better = FrameCandidates(detections(make_detections, everything), truth)
    same = paired_interval([(worse, worse)], 0.5, draws=50)
    assert same == (0, 0, 0)
    found = paired_interval([(worse, better), (worse, better)], 0.5, draws=200)
    assert found.difference == pytest.approx(50)
    assert 0 <= found.low < 50 < found.high <= 100
