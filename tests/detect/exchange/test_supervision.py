"""``to_supervision``: boxes with ids for supervision's annotators, zones and counters."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.detect import ActionDetector, DetectOptions, to_supervision
from pcsc_d2.tubes import find_persons
from tests.square_model import SquareModel, square_at, square_frames
from tests.tube_makers import build_tubes

BOX, OTHER = [1, 2, 20, 30], [40, 2, 60, 30]
TUBES = build_tubes([(0, 1, 0.5, 3, [BOX] * 4), (0, 2, 1.0, 5, [OTHER] * 2), (1, 0, 1, 1, [BOX])])


def test_what_is_there_in_a_frame() -> None:
    pytest.importorskip("supervision")
    found = to_supervision(TUBES, 5)
    assert found.xyxy.tolist() == [[1, 2, 21, 31], [40, 2, 61, 31]]
    assert found.confidence.tolist() == [0.5, 1.0]
    assert found.class_id.tolist() == [1, 2]
    assert found.data["class_name"].tolist() == ["jump", "wave"]
    assert found.tracker_id.tolist() == [1, 2]
    assert to_supervision(TUBES, 5, find_persons(TUBES)).tracker_id.tolist() == [1, 2]
    assert to_supervision(TUBES, 1, video=1).tracker_id.tolist() == [3]
    assert len(to_supervision(TUBES, 40)) == 0


def test_a_stream_through_a_counter(tmp_path: Path) -> None:
    """The square crosses a line to the right, once."""
    sv = pytest.importorskip("supervision")
    line = sv.LineZone(start=sv.Point(50, 64), end=sv.Point(50, 0))
    detector = ActionDetector(SquareModel(), DetectOptions(batch=1))
    frames = square_frames(40)
    for moment in detector.stream(frames):
        found = moment.to_supervision()
        assert len(found) == len(moment.boxes)
        line.trigger(found)
    assert {line.in_count, line.out_count} == {0, 1}
    picture = sv.BoxAnnotator(thickness=1).annotate(frames[9].copy(), found_at(frames))
    x1, y1, _, _ = square_at(10)
    assert (picture[y1 + 5, x1 - 1 : x1 + 2] != frames[9][y1 + 5, x1 - 1 : x1 + 2]).any()


def found_at(frames: list[np.ndarray]) -> object:
    return to_supervision(ActionDetector(SquareModel(), DetectOptions())(frames), 10)


def test_without_supervision_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pcsc_d2\[supervision\]'"):
        to_supervision(TUBES, 5)
