from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.video import clip_indices, flow_indices


@pytest.mark.parametrize(
    ("key", "length", "frames", "expected"),
    [
        (5, 4, 20, [2, 3, 4, 5]),  # even: key - T/2 .. key + T/2 - 1 around 0-based frame 4
        (5, 5, 20, [2, 3, 4, 5, 6]),  # odd: centred
        (1, 4, 20, [0, 0, 0, 1]),
        (20, 4, 20, [17, 18, 19, 19]),
        (2, 8, 3, [0, 0, 0, 0, 1, 2, 2, 2]),
        (1, 3, 1, [0, 0, 0]),
        (7, 1, 9, [6]),
    ],
)
def test_clip_around_a_key_frame(key, length, frames, expected):
    assert clip_indices(key, length, frames).tolist() == expected


def test_key_frame_stands_at_the_same_place_in_every_clip():
    for length in (1, 2, 7, 8, 16):
        for key in range(1, 31):
            assert clip_indices(key, length, 30)[length // 2] == key - 1


def test_flow_of_the_last_frame_repeats():
    assert flow_indices(np.array([17, 18, 19, 19]), 20).tolist() == [17, 18, 18, 18]
    assert flow_indices(np.array([0, 0]), 1).tolist() == [0, 0]


@pytest.mark.parametrize(("key", "length"), [(0, 4), (21, 4), (3, 0)])
def test_impossible_clips_are_refused(key, length):
    with pytest.raises(ValueError, match="frame"):
        clip_indices(key, length, 20)
