from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.tubes.scoring.chance import chance, guessed_classes


def one_box_a_frame(labels: tuple[str, ...], frames: int) -> GroundTruth:
    videos, count = np.array([f"v{i}" for i in range(len(labels))]), len(labels)
    tubes = Tubes(
        videos,
        np.array(labels),
        np.arange(count),
        np.arange(count),
        np.ones(count),
        np.ones(count, int),
        np.arange(count + 1) * frames,
        np.tile([[0, 0, 9, 9]], (count * frames, 1)),
        np.ones(count * frames),
    )
    size = np.tile([[20, 20]], (count, 1))
    return GroundTruth(labels, videos, np.full(count, frames), size, tubes, [[]], [[]])


def test_with_one_class_there_is_nothing_to_guess() -> None:
    assert chance(one_box_a_frame(("a",), 5)) == 100


def test_guessing_among_many_is_right_and_found_one_time_in_as_many() -> None:
    # Precision and recall are both about 1/4, so the area is about 1/16.
    assert chance(one_box_a_frame(("a", "b", "c", "d"), 2000)) == pytest.approx(100 / 16, abs=1)


def test_boxes_are_the_true_ones() -> None:
    truth = one_box_a_frame(("a", "b"), 3)
    assert np.array_equal(guessed_classes(truth).boxes, truth.tubes.boxes)
