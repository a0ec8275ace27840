"""Held against the published evaluators, on detections over the whole of J-HMDB's split 1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcsc_d2.tubes import (
    PROTOCOLS,
    Detections,
    GroundTruth,
    LinkOptions,
    ScoresByIou,
    Tubes,
    frame_map,
    link,
    video_map,
)

PERCENTAGE_POINTS = 1e-4
VOC_AREA = replace(PROTOCOLS["act"], envelope=True)


@pytest.fixture(scope="module")
def expected(real_data: Path) -> dict[str, Any]:
    return json.loads((real_data / "tubes/expected.json").read_text())


@pytest.fixture(scope="module")
def detections(real_data: Path) -> Detections:
    return Detections.load(real_data / "tubes/dets_jhmdb_s1.npz")


@pytest.fixture(scope="module")
def truth(real_data: Path) -> GroundTruth:
    return GroundTruth.load(real_data / "jhmdb/annotations/JHMDB-GT.pkl").split(1, "test")


def assert_columns(scores: ScoresByIou, columns: dict[str, float]) -> None:
    for name, value in columns.items():
        ours = scores.average if ":" in name else scores[float(name)].mean
        assert ours == pytest.approx(value, abs=PERCENTAGE_POINTS), name


def test_frame_map(expected: dict, detections: Detections, truth: GroundTruth) -> None:
    score = frame_map(detections, truth)
    assert score.mean == pytest.approx(expected["frame"]["act"]["0.5"], abs=PERCENTAGE_POINTS)
    per_class = expected["frame"]["per_class_act"]
    np.testing.assert_allclose(list(score.per_class.values()), per_class, atol=PERCENTAGE_POINTS)
    exclusive = frame_map(detections, truth, protocol="voc_no_plus_one").mean
    value = expected["frame"]["voc_no_plus_one"]["0.5"]
    assert exclusive == pytest.approx(value, abs=PERCENTAGE_POINTS)


@pytest.mark.parametrize("name", ["tubes_jhmdb_singh.npz", "tubes_jhmdb_moc.npz"])
def test_video_map(expected: dict, truth: GroundTruth, real_data: Path, name: str) -> None:
    tubes = Tubes.load(real_data / "tubes" / name)
    assert_columns(video_map(tubes, truth), expected["video"][name]["act"])
    assert_columns(video_map(tubes, truth), expected["video"][name]["MOC videoAP (float32)"])
    columns = expected["video"][name]["act_with_voc_area"]
    assert_columns(video_map(tubes, truth, protocol=VOC_AREA), columns)


def canonical(tubes: Tubes) -> Tubes:
    first = tubes.boxes[tubes.ptr[:-1]].T
    return tubes.take(np.lexsort((*first, tubes.start, tubes.classes, tubes.video)))


def test_linking(detections: Detections, real_data: Path) -> None:
    reference = canonical(Tubes.load(real_data / "tubes/tubes_jhmdb_singh.npz"))
    tubes = canonical(link(detections))
    for name in ("video", "classes", "start", "ptr", "boxes", "box_scores"):
        assert np.array_equal(getattr(tubes, name), getattr(reference, name)), name
    np.testing.assert_allclose(tubes.scores, reference.scores, rtol=1e-6)


def test_linking_with_gap_5(expected: dict, detections: Detections, truth: GroundTruth) -> None:
    tubes = link(detections, LinkOptions(gap=5))
    assert len(tubes) == expected["linking"]["gap5"]["tubes"]
    assert_columns(video_map(tubes, truth), expected["linking"]["gap5"]["act"])
    columns = expected["linking"]["gap5"]["voc_area"]
    assert_columns(video_map(tubes, truth, protocol=VOC_AREA), columns)


def test_ground_truth_survives_a_round_trip(truth: GroundTruth, tmp_path: Path) -> None:
    truth.save(tmp_path / "gt.pkl")
    read = GroundTruth.load(tmp_path / "gt.pkl")
    assert np.array_equal(read.tubes.boxes, truth.tubes.boxes)
    assert np.array_equal(read.videos, truth.videos)
    assert video_map(truth.tubes, read).average == 100
