"""Files of other projects, and files for people."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes
from pcsc_d2.tubes.convert import from_coco_results, from_frame_pickles
from pcsc_d2.tubes.export import to_csv, to_json

BOX, NEAR, FAR = (0, 0, 99, 99), (0, 0, 99, 79), (200, 100, 260, 200)


@pytest.fixture
def truth(make_truth: Callable[..., GroundTruth]) -> GroundTruth:
    return make_truth([(0, 0, 1, [BOX])], videos=("Walk/a",), nframes=3)


def rows_of(found: Detections) -> list[tuple[Any, ...]]:
    columns = (found.frame_rows + 1, found.classes, np.round(found.scores, 4), found.boxes)
    return [
        (int(f), int(c), round(float(s), 4), tuple(b.tolist()))
        for f, c, s, b in zip(*columns, strict=True)
    ]


def write(folder: Path, contents: dict[int, Any]) -> Path:
    (folder / "Walk/a").mkdir(parents=True)
    for frame, content in contents.items():
        (folder / "Walk/a" / f"{frame:05}.pkl").write_bytes(pickle.dumps(content, 2))
    return folder


def test_moc_pickles(truth: GroundTruth, tmp_path: Path) -> None:
    """Tubelets of two frames; the second of frame 1 meets the first of frame 2."""
    first = {1: np.array([[*BOX, *BOX, 0.9]]), 3: np.array([[*FAR, *FAR, 0.5]])}
    second = {1: np.array([[*NEAR, *NEAR, 0.8]]), 3: np.zeros((0, 9))}
    found = from_frame_pickles(write(tmp_path, {1: first, 2: second}), truth)
    assert rows_of(found) == [
        (1, 0, 0.9, BOX),
        (1, 2, 0.5, FAR),
        (2, 0, 0.9, BOX),
        (2, 0, 0.16, NEAR),  # rescored by 1 - IoU = 0.2
        (2, 2, 0.5, FAR),
        (3, 0, 0.8, NEAR),
    ]


def test_act_pickles(truth: GroundTruth, tmp_path: Path) -> None:
    first = (np.array([[0, 0.9, *BOX, *BOX], [2, 0.5, *FAR, *FAR]]), np.zeros((0, 5)))
    second = (np.array([[0, 0.8, *NEAR, *NEAR]]), np.zeros((0, 5)))
    found = from_frame_pickles(write(tmp_path, {1: first, 2: second}), truth)
    assert rows_of(found) == [
        (1, 0, 0.9, BOX),
        (1, 2, 0.5, FAR),
        (2, 0, 0.9, BOX),  # the other goes, as they overlap by 0.8
        (2, 2, 0.5, FAR),
        (3, 0, 0.8, NEAR),
    ]


def test_damaged_and_missing_pickles_are_counted(truth: GroundTruth, tmp_path: Path) -> None:
    folder = write(tmp_path, {1: {1: np.array([[*BOX, 0.9]])}})
    (folder / "Walk/a/00002.pkl").write_bytes(b"garbage")
    with pytest.warns(UserWarning, match=r"2 files left out, such as .*00002\.pkl"):
        found = from_frame_pickles(folder, truth)
    assert rows_of(found) == [(1, 0, 0.9, BOX)]
    with pytest.raises(ValueError, match="no detections there"):
        from_frame_pickles(tmp_path / "nothing", truth)


def test_coco_results(truth: GroundTruth, tmp_path: Path) -> None:
    results = [{"image_id": 7, "category_id": 5, "bbox": [10, 20, 30, 40], "score": 0.75}]
    images = {
        "images": [{"id": 7, "file_name": "Walk/a/img_00002.jpg"}],
        "categories": [{"id": 5, "name": "jump"}],
    }
    (tmp_path / "r.json").write_text(json.dumps(results))
    (tmp_path / "images.json").write_text(json.dumps(images))
    expected = [(2, 1, 0.75, (10, 20, 39, 59))]
    found = from_coco_results(tmp_path / "r.json", truth, tmp_path / "images.json")
    assert rows_of(found) == expected
    results[0] |= {"image_id": "Walk/a/2", "category_id": 2}
    (tmp_path / "r.json").write_text(json.dumps(results))
    assert rows_of(from_coco_results(tmp_path / "r.json", truth)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "Walk/b/2"}, "unknown video 'Walk/b'"),
        ({"image_id": "Walk/a/9"}, "has frames 1 to 3, not 9"),
        ({"image_id": 4}, "image '4': expected <video>/<frame>"),
        ({"category_id": 4}, "4 is missing or unknown"),
        ({"bbox": [1, 2, 3]}, "cannot be read as COCO results"),
        ({"score": None}, "not 'NoneType'"),
    ],
)
def test_bad_coco_results_are_refused(
    truth: GroundTruth, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    row = {"image_id": "Walk/a/2", "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}
    (tmp_path / "r.json").write_text(json.dumps([row | change]))
    with pytest.raises(ValueError, match=message) as error:
        from_coco_results(tmp_path / "r.json", truth)
    assert "r.json" in str(error.value)
    good = row | {"score": 0.25}
    (tmp_path / "r.json").write_text(json.dumps([row | change, good, row | change]))
    with pytest.warns(UserWarning, match=r"r\.json: 2 of 3 detections are left out \(the first: "):
        assert from_coco_results(tmp_path / "r.json", truth).scores.tolist() == [0.25]


def test_detections_for_people(make_detections: Callable[..., Detections], tmp_path: Path) -> None:
    found = make_detections([(1, 3, 2, 0.7, (1.5, 2, 3, 4)), (0, 1, 0, 0.25, BOX)])
    expected = [
        ["a", "1", "run", "0.25", "0.0", "0.0", "99.0", "99.0"],
        ["b", "3", "wave", "0.7", "1.5", "2.0", "3.0", "4.0"],
    ]
    to_csv(found, tmp_path / "d.csv")
    with open(tmp_path / "d.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["video", "frame", "label", "score", "x1", "y1", "x2", "y2"]
    assert rows == expected
    to_json(found, tmp_path / "d.json")
    read = json.loads((tmp_path / "d.json").read_text())
    assert [[str(value) for value in row.values()] for row in read] == expected


def test_tubes_for_people(make_tubes: Callable[..., Tubes], tmp_path: Path) -> None:
    tubes = make_tubes([(1, 2, 0.7, 5, [BOX, NEAR])])
    to_json(tubes, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == [
        {
            "video": "b",
            "label": "wave",
            "score": 0.7,
            "start": 5,
            "end": 6,
            "boxes": [list(BOX), list(NEAR)],
            "scores": [0.7, 0.7],
        }
    ]
    to_csv(tubes, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "tube,tube_score,video,frame,label,score,x1,y1,x2,y2"
    assert lines[2] == "0,0.7,b,6,wave,0.7,0.0,0.0,99.0,79.0"
