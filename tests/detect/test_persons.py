"""``--persons``: boxes, page, CSV, JSON and the archive's table carry who it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from pcsc_d2.detect import ActionDetector, ClipDetections, DetectOptions
from pcsc_d2.detect.annotate import Picture
from pcsc_d2.detect.results import Summary
from pcsc_d2.detect.sources import FileSource
from pcsc_d2.detect.video_result import Recorder, VideoResult
from pcsc_d2.video import color_of
from tests.square_model import SquareModel, square_at, square_frames

Run = Callable[..., int]


class TwoActions(SquareModel):
    """Finds the square by two names, the second as "circle" and a little less surely."""

    def __call__(
        self, clips: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]
    ) -> list[ClipDetections]:
        return [self._twice(found) for found in super().__call__(clips, size)]

    def _twice(self, found: ClipDetections) -> ClipDetections:
        count = len(found.boxes)
        return ClipDetections(
            np.concatenate([found.boxes, found.boxes]),
            np.repeat(np.array([0.9, 0.6], np.float32), count),
            np.repeat(np.array([0, 1]), count),
        )


@pytest.fixture
def model() -> SquareModel:
    return TwoActions()


def test_everything_carries_the_person(run: Run, square_video: Path, tmp_path: Path) -> None:
    assert run(square_video, "--persons") == 0
    folder = tmp_path / "out" / "square"
    content = json.loads((folder / "tubes.json").read_text())
    assert [(t["label"], t["person"]) for t in content["tubes"]] == [("square", 1), ("circle", 1)]
    [person] = content["persons"]
    assert (person["person"], person["start"], person["end"]) == (1, 0.0, 1.2)
    assert [(p["label"], p["tube"]) for p in person["labels"]] == [("square", 1), ("circle", 2)]
    with open(folder / "tubes.csv", newline="") as file:
        assert {row["person"] for row in csv.DictReader(file)} == {"1"}
    with open(tmp_path / "out" / "tubes.csv", newline="") as file:
        assert [row["person"] for row in csv.DictReader(file)] == ["1", "1"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<th>person</th>" in page
    assert "person 1: circle" in page
    assert ">1: circle</i>" in page
    assert Summary.load(folder / "summary.json").tubes[1]["person"] == 1


def test_without_it_nothing_does(run: Run, square_video: Path, tmp_path: Path) -> None:
    assert run(square_video) == 0
    folder = tmp_path / "out" / "square"
    assert "person" not in (folder / "tubes.json").read_text()
    assert "person" not in (folder / "tubes.csv").read_text()
    assert "person" not in (tmp_path / "out" / "index.html").read_text()
    with open(tmp_path / "out" / "tubes.csv", newline="") as file:
        assert [row["person"] for row in csv.DictReader(file)] == ["", ""]


def test_parquet_has_the_person(run: Run, square_video: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run(square_video, "--persons")
    assert parquet.read_table(tmp_path / "out" / "tubes.parquet")["person"].to_pylist() == [1, 1]


def test_resuming_with_it_does_them_again(run: Run, square_video: Path, tmp_path: Path) -> None:
    run(square_video)
    run(square_video, "--persons", "--resume")
    assert "persons" in (tmp_path / "out" / "square" / "tubes.json").read_text()


def found(video: Path, folder: Path) -> VideoResult:
    detector = ActionDetector(TwoActions(), DetectOptions())
    with Recorder(FileSource(video), folder, ["square", "circle"]) as recorder:
        for one in detector.stream(recorder):
            recorder.add(one.ended)
        return recorder.result().with_persons()


def test_a_person_has_one_colour(square_video: Path, tmp_path: Path) -> None:
    result = found(square_video, tmp_path / "found")
    assert result.persons.tolist() == [1, 1]
    pixels = square_frames(15)[14]
    x1, y1, _, y2 = (4 * c for c in square_at(15))
    side = (slice(y1 + 40, y2 - 40), x1)
    as_persons = Picture(result).of(pixels, 15)[side].mean(0)
    as_tubes = Picture(replace(result, persons=None)).of(pixels, 15)[side].mean(0)
    assert np.abs(as_persons - color_of(1)).max() < np.abs(as_persons - color_of(2)).max()
    assert np.abs(as_persons - as_tubes).max() < 1  # the best tube is on top, and is tube 1


@pytest.mark.parametrize("person", ["1", None, 1.5, True])
def test_a_planted_person_is_no_summary(
    run: Run, square_video: Path, tmp_path: Path, person: object
) -> None:
    run(square_video, "--persons")
    path = tmp_path / "out" / "square" / "summary.json"
    content = json.loads(path.read_text())
    content["tubes"][0]["person"] = person
    path.write_text(json.dumps(content))
    assert Summary.load(path) is None
