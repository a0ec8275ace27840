"""What boxes are labelled as, by how much they overlap their action."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pcsc_d2.engine.actionness.samples import CONFUSING, OTHER, POSITIVE, VideoSamples
from pcsc_d2.tubes import Tubes

BOX = (0, 0, 9, 9)


@pytest.fixture
def samples(make_tubes: Callable[..., Tubes]) -> VideoSamples:
    tubes = make_tubes([(0, 0, 0.9, 1, [BOX] * 8), (0, 0, 0.8, 1, [BOX] * 3)], videos=("a",))
    # Loose for a frame, then away, then there again but never close; the other is never close.
    overlaps = np.array([0, 0.4, 0.6, 0.3, 0.7, 0, 0.2, 0.2, 0.4, 0.3, 0])
    return VideoSamples(tubes, np.arange(11), np.ones(11, bool), overlaps)


def test_groups_are_by_each_box(samples: VideoSamples) -> None:
    p, c, o = POSITIVE, CONFUSING, OTHER
    assert samples.groups(0.5).tolist() == [c, c, p, c, p, c, c, c, o, o, o]
    assert samples.groups(0.35).tolist() == [c, p, p, c, p, c, c, c, p, c, c]


def test_extents_are_by_runs_within_a_tube(samples: VideoSamples) -> None:
    assert samples.extents(0.5).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    # The run at the end of a tube is none with that at the begin of the next.
    assert samples.extents(0.35).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0]
    assert samples.extents(0.1).tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0]
    assert not samples.extents(0.7).any()


def test_a_video_without_tubes_has_none(make_tubes: Callable[..., Tubes]) -> None:
    nothing = VideoSamples(make_tubes([]), *([np.zeros(0)] * 3))
    assert nothing.extents(0.5).shape == (0,)
