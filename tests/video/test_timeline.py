from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.video.timeline import Timeline, clock, pack_rows

SPANS = np.array([[0, 4], [2, 6], [4, 8], [6, 10]], float)


def test_rows_keep_spans_apart():
    assert pack_rows(SPANS, 8).tolist() == [0, 1, 0, 1]
    assert pack_rows(SPANS[::-1], 8).tolist() == [1, 0, 1, 0]
    assert pack_rows(np.zeros((0, 2)), 8).tolist() == []


def test_too_many_spans_share_rows():
    rows = pack_rows(np.array([[i, 100] for i in range(20)], float), 3)
    assert set(rows.tolist()) == {0, 1, 2}


def test_bars_are_where_the_spans_are():
    red, blue = (255, 0, 0), (0, 0, 255)
    line = Timeline(np.array([[0, 5], [5, 10]]), ["", ""], [red, blue], (0, 10), 200)
    strip = line.at(9.99)
    assert strip.shape[0] % 2 == 0
    assert strip[7, 50].tolist() == list(red)
    assert strip[7, 150].tolist() == list(blue)
    assert strip[7, 199].tolist() == [255, 255, 255]
    assert line.at(0)[7, 0].tolist() == [255, 255, 255]
    assert line.at(0)[7, 199].tolist() == list(blue)


@pytest.mark.parametrize("spans", [np.zeros((0, 2)), np.array([[0.0, 0.04]])])
def test_videos_of_nothing_or_one_frame(spans):
    colors = [(9, 9, 9)] * len(spans)
    assert Timeline(spans, ["x"] * len(spans), colors, (0, 0.04), 64).at(0).shape[1] == 64


def test_clock():
    assert [clock(t) for t in (0, 0.5, 12, 65, 3723.9)] == ["0", "0.5", "12", "1:05", "1:02:03"]
