"""Error analysis: one mistake of each kind, and parts that add up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, link, video_map
from pcsc_d2.tubes.report.examples import notable_tubes
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.errors import KINDS, PARTS, frame_errors, tube_errors

BOX, LESS, FAR = (0, 0, 99, 99), (0, 0, 99, 30), (200, 100, 260, 200)


def test_kinds_of_frame_errors(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    # Class 0 in frames 1 to 5 of video a; class 1 in frame 30 of both.
    truth = make_truth([(0, 0, 1, [BOX] * 5), (0, 1, 30, [BOX]), (1, 1, 30, [BOX])])
    cases = {
        "right": (0, 1, 0, 0.9, BOX),
        "duplicate": (0, 1, 0, 0.8, BOX),
        "localisation": (0, 2, 0, 0.7, LESS),
        "class": (1, 30, 0, 0.6, BOX),
        "time": (0, 20, 0, 0.5, BOX),
        "other": (1, 20, 0, 0.4, BOX),
    }
    found = make_detections(list(cases.values()))
    errors = frame_errors(FrameCandidates(found, truth))
    kinds = {round(float(s), 2): KINDS[k] for s, k in zip(found.scores, errors.kinds, strict=True)}
    assert kinds == {row[3]: kind for kind, row in cases.items()}


def test_parts_by_hand(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 4)])
    rows = [(0, 20, 0, 0.9, BOX), (0, 1, 0, 0.8, BOX), (0, 2, 0, 0.7, BOX)]
    parts = frame_errors(FrameCandidates(make_detections(rows), truth)).per_class["run"]
    # Precision 0, 1/2, 2/3 and the time error's share 1, 1/2, 1/3, at recall 0, 1/4, 1/2.
    assert parts["right"] == pytest.approx(100 * (1 / 8) * (0 + 1 / 2 + 1 / 2 + 2 / 3))
    assert parts["time"] == pytest.approx(100 * (1 / 8) * (1 + 1 / 2 + 1 / 2 + 1 / 3))
    assert parts["missed"] == 50
    assert sum(parts.values()) == pytest.approx(100)


def test_kinds_of_tube_errors(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 20), (1, 1, 1, [BOX] * 20)])
    rows = [
        ("right", (0, 0, 0.9, 1, [BOX] * 20)),
        ("duplicate", (0, 0, 0.8, 1, [BOX] * 15)),
        ("time", (0, 0, 0.7, 16, [BOX] * 20)),  # right in space, 5 common frames of 35
        ("time", (0, 0, 0.6, 25, [BOX] * 10)),  # after the action
        ("localisation", (0, 0, 0.5, 1, [LESS] * 20)),
        ("class", (1, 0, 0.4, 1, [BOX] * 20)),
        ("other", (1, 0, 0.3, 1, [FAR] * 20)),
    ]
    errors = tube_errors(TubeCandidates(make_tubes([row for _, row in rows]), truth, "voc"))
    kinds = [KINDS[kind] for kind in errors.kinds]
    assert kinds == [kind for kind, _ in rows]


def test_parts_add_up_and_contain_the_ap(
    crowd: Detections, make_truth: Callable[..., GroundTruth]
) -> None:
    corners = np.random.default_rng(2).uniform(0, 100, (4, 3, 1, 2))
    boxes = np.concatenate([corners, corners + 60], axis=3).repeat(25, 2)
    truth = make_truth([(v, c, 2, boxes[v, c]) for v in range(4) for c in range(2)], list("abcd"))
    tubes = link(crowd)
    for errors, score in (
        (frame_errors(FrameCandidates(crowd, truth), 0.2), frame_map(crowd, truth, 0.2)),
        (tube_errors(TubeCandidates(tubes, truth), 0.1), video_map(tubes, truth, [0.1])[0.1]),
    ):
        assert list(errors.per_class) == ["run", "jump"]
        for label, parts in errors.per_class.items():
            assert tuple(parts) == PARTS
            assert parts["right"] == pytest.approx(score.per_class[label])
            assert sum(parts.values()) == pytest.approx(100)
        assert errors.mean["right"] > 0
        assert errors.mean["right"] == pytest.approx(score.mean)


def test_notable_tubes(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 20), (1, 0, 1, [BOX] * 20)])
    tubes = make_tubes(
        [
            (1, 0, 0.5, 1, [BOX] * 20),
            (0, 0, 0.9, 3, [BOX] * 18),
            (0, 1, 0.8, 1, [FAR] * 10),
            (0, 2, 0.7, 1, [FAR] * 10),
        ]
    )
    captions, chosen = zip(*notable_tubes(tubes, truth, count=2), strict=True)
    assert [float(t.scores[0]) for t in chosen] == pytest.approx([0.5, 0.9, 0.8])
    assert captions[1] == "right: run, score 0.90, tube IoU 0.90, a, frames 3 to 20"
    assert captions[2].startswith("wrong (background): jump, score 0.80")
