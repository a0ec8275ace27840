"""Crowds: what is found in them is neither right nor wrong; every number by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, video_map
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.errors import KINDS, classify_tubes, frame_errors
from pcsc_d2.tubes.scoring.results import score as score_all
from tests.tube_makers import build_tubes

BOX = (0, 0, 99, 99)
REGION = (200, 0, 399, 199)
INSIDE = (210, 10, 229, 29)  # IoU 0.01 with the region, all of it inside
HALF = (190, 10, 209, 29)  # half of it inside
LESS = (189, 10, 208, 29)  # 9 of 20 columns inside


@pytest.fixture
def truth(make_truth: Callable[..., GroundTruth]) -> GroundTruth:
    """Class 0 at frame 1 of "a", and a crowd of class 0 at frames 1 to 4."""
    plain = make_truth([(0, 0, 1, [BOX])])
    return replace(plain, crowds=build_tubes([(0, 0, 1.0, 1, [REGION] * 4)]))


@pytest.mark.parametrize(
    ("box", "frame", "cls", "judged"),
    [
        (INSIDE, 1, 0, False),
        (INSIDE, 4, 0, False),
        (HALF, 1, 0, False),
        (LESS, 1, 0, True),
        (INSIDE, 5, 0, True),  # the crowd has gone
        (INSIDE, 1, 1, True),  # a crowd of another class
    ],
)
def test_frames(
    truth: GroundTruth, make_detections: Callable[..., Detections], box, frame, cls, judged
) -> None:
    found = make_detections([(0, frame, cls, 0.9, box), (0, 1, 0, 0.8, BOX)])
    score = frame_map(found, truth)
    wrong_first = judged and cls == 0
    # Points (r, p): (0, 0), then (1, 1/2): a trapezoid of 1/4.
    assert score.per_class["run"] == pytest.approx(25 if wrong_first else 100)
    assert len(score.curves["run"].hits) == 1 + wrong_first
    candidates = FrameCandidates(found, truth)
    place = (candidates.found.boxes == np.float32(box)).all(1).argmax()
    assert (KINDS[frame_errors(candidates).kinds[place]] == "in a crowd") == (not judged)


def test_any_number_may_be_found_in_a_crowd_and_truth_comes_first(
    truth: GroundTruth, make_detections: Callable[..., Detections]
) -> None:
    around = replace(truth, crowds=build_tubes([(0, 0, 1.0, 1, [(0, 0, 399, 199)])]))
    rows = [(0, 1, 0, 0.9, INSIDE), (0, 1, 0, 0.85, INSIDE), (0, 1, 0, 0.8, BOX)]
    score = frame_map(make_detections([*rows, (0, 1, 0, 0.7, BOX)]), around)
    # The true box is found though the crowd is around it; its duplicate lies in the crowd.
    assert score.curves["run"].hits.tolist() == [True]
    assert score.per_class["run"] == 100


@pytest.mark.parametrize(("inside", "judged"), [(4, False), (2, False), (1, True)])
def test_tubes(
    truth: GroundTruth, make_tubes: Callable[..., Tubes], inside: int, judged: bool
) -> None:
    far = (0, 150, 19, 169)
    lost = (0, 0, 0.9, 1, [INSIDE] * inside + [far] * (4 - inside))
    tubes = make_tubes([lost, (0, 0, 0.8, 1, [BOX])])
    scores = video_map(tubes, truth, (0.5,))
    assert scores[0.5].per_class["run"] == pytest.approx(25 if judged else 100)
    kinds = classify_tubes(TubeCandidates(tubes, truth), 0.5)
    assert [KINDS[kind] == "in a crowd" for kind in kinds] == [not judged, False]


def test_regions_of_single_frames_add_up(
    truth: GroundTruth, make_tubes: Callable[..., Tubes]
) -> None:
    regions = build_tubes([(0, 0, 1.0, frame, [REGION]) for frame in (1, 2, 4)])
    tubes = make_tubes([(0, 0, 0.9, 1, [INSIDE] * 4)])
    candidates = TubeCandidates(tubes, replace(truth, crowds=regions))
    assert candidates.in_crowd.tolist() == [0.75]


def test_without_crowds_nothing_changes(
    make_truth: Callable[..., GroundTruth], crowd: Detections
) -> None:
    rng = np.random.default_rng(0)
    rows = [(v, c, 1, rng.uniform(0, 90, (9, 2)).repeat(2, 1)) for v in range(4) for c in range(3)]
    rows = [(v, c, s, b[:, [0, 2, 1, 3]] + [0, 0, 30, 50]) for v, c, s, b in rows]
    truth = make_truth(rows, ["a", "b", "c", "d"], 60)
    nothing = replace(truth, crowds=build_tubes([], ["a", "b", "c", "d"]))
    for protocol in ("act", "voc"):
        first = score_all(truth, crowd, protocol=protocol).to_dict()
        assert score_all(nothing, crowd, protocol=protocol).to_dict() == first


def test_crowds_are_saved_selected_and_checked(truth: GroundTruth, tmp_path: Path) -> None:
    truth.save(tmp_path / "gt.pkl")
    again = GroundTruth.load(tmp_path / "gt.pkl")
    assert again.crowds.boxes.tolist() == truth.crowds.boxes.tolist()
    assert len(again.select(["b"]).crowds) == 0
    assert len(again.select(["b", "a"]).crowds) == 1
    late = build_tubes([(0, 0, 1.0, 40, [REGION] * 2)])
    with pytest.raises(ValueError, match="a tube ends at frame 41"):
        replace(truth, crowds=late)
