"""Where tubes begin and end: each rule by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.tubes.scoring.boundaries import BoundaryErrors, ExtentCandidates
from pcsc_d2.tubes.scoring.candidates import TubeCandidates
from pcsc_d2.tubes.scoring.metrics import average_precision
from pcsc_d2.tubes.scoring.results import score

Makers = tuple[Callable[..., Tubes], Callable[..., GroundTruth]]
BOX = (0, 0, 99, 99)
HALF = (0, 0, 99, 49)  # IoU 0.5 with BOX
FAR = (200, 200, 219, 219)


@pytest.fixture
def makers(make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]) -> Makers:
    return make_tubes, make_truth


def extents(candidates: TubeCandidates) -> dict[float, float]:
    return {
        iou: average_precision(ExtentCandidates(candidates), iou).mean
        for iou in (0.3, 0.4, 0.5, 0.6, 0.7)
    }


def test_temporal_map_is_of_extents_alone(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 11, [BOX] * 10)])  # frames 11 to 20
    # Frames 11 to 16 of 11 to 20: 6 / 10, and the boxes lie elsewhere.
    found = make_tubes([(0, 0, 0.9, 11, [FAR] * 6)])
    by_iou = extents(TubeCandidates(found, truth))
    assert by_iou == {0.3: 100, 0.4: 100, 0.5: 100, 0.6: 100, 0.7: 0}
    # Frames 6 to 15: 5 in common of 15.
    found = make_tubes([(0, 0, 0.9, 6, [BOX] * 10)])
    assert extents(TubeCandidates(found, truth)) == {0.3: 100, 0.4: 0, 0.5: 0, 0.6: 0, 0.7: 0}


def test_temporal_map_keeps_videos_and_classes_apart(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 1, [BOX] * 10)])
    found = make_tubes([(1, 0, 0.9, 1, [BOX] * 10), (0, 1, 0.8, 1, [BOX] * 10)])
    assert extents(TubeCandidates(found, truth))[0.3] == 0


def test_temporal_map_of_two_tubes_and_one_action(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 1, [BOX] * 10)])
    # The better one misses the time: points (0, 1), (0, 0), (1, 1/2), so that the area is 1/4.
    found = make_tubes([(0, 0, 0.9, 21, [BOX] * 10), (0, 0, 0.8, 1, [FAR] * 10)])
    assert extents(TubeCandidates(found, truth))[0.5] == pytest.approx(25)
    assert extents(TubeCandidates(found, truth, "voc"))[0.5] == pytest.approx(50)


def test_boundary_errors_by_hand(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 11, [BOX] * 10), (1, 0, 11, [BOX] * 10), (0, 1, 1, [BOX] * 10)])
    found = make_tubes(
        [
            (0, 0, 0.9, 8, [BOX] * 20),  # frames 8 to 27 of 11 to 20: -3, +7
            (1, 0, 0.8, 12, [HALF] * 9),  # frames 12 to 20: +1, 0
            (0, 1, 0.7, 1, [FAR] * 10),  # follows nobody
        ]
    )
    errors = BoundaryErrors.of(TubeCandidates(found, truth))
    assert errors.start[:2].tolist() == [-3, 1]
    assert errors.end[:2].tolist() == [7, 0]
    assert np.isnan([errors.start[2], errors.end[2]]).all()
    assert errors.means() == {
        "start": 2.0,
        "end": 3.5,
        "start_bias": -1.0,
        "end_bias": 3.5,
        "within_5": 75.0,
        "found": pytest.approx(200 / 3),
    }
    assert "first frame off by 2.0 frames (mean -1.0), last by 3.5" in errors.summary()


def test_the_better_tube_is_asked_however_badly_it_fits_in_time(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 11, [BOX] * 10)])
    found = make_tubes([(0, 0, 0.8, 11, [BOX] * 10), (0, 0, 0.9, 20, [BOX] * 10)])
    # Without suppression both are there (tube IoU of the two: 1 of 19 frames).
    assert BoundaryErrors.of(TubeCandidates(found, truth)).start.tolist() == [9]


def test_tubes_without_a_common_frame_follow_nobody(makers: Makers) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 11, [BOX] * 10)])
    found = make_tubes([(0, 0, 0.8, 1, [BOX] * 10)])
    errors = BoundaryErrors.of(TubeCandidates(found, truth))
    assert errors.found == 0
    assert np.isnan(errors.means()["start"])


def test_results_hold_both(makers: Makers, tmp_path: Path) -> None:
    make_tubes, make_truth = makers
    truth = make_truth([(0, 0, 11, [BOX] * 10)])
    results = score(truth, tubes=make_tubes([(0, 0, 0.9, 11, [BOX] * 6)]))
    results.save(tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text())
    expected = {"0.3": 100, "0.4": 100, "0.5": 100, "0.6": 100, "0.7": 0, "0.3:0.7": 80}
    assert content["temporal"] == expected
    assert content["boundaries"]["end"] == 4
    assert results.temporal_columns()["temporal 0.3:0.7"] == 80
    assert "temporal 0.3:0.7" in results.table()
    assert "last by 4.0 (mean -4.0)" in results.table()


def test_nothing_found_and_nothing_annotated(makers: Makers) -> None:
    make_tubes, make_truth = makers
    content = score(make_truth([]), tubes=make_tubes([])).to_dict()
    assert content["temporal"]["0.5"] is None
    assert content["boundaries"]["start"] is None
    assert content["boundaries"]["found"] is None
