"""``pcsc fiftyone``: what FiftyOne is given, and the dataset itself where it is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pcsc_d2.cli import main

Run = Callable[..., int]


class Fields(dict):
    """Stands for FiftyOne's documents: what they were made with."""

    def __init__(self, kind: str, **fields: Any) -> None:
        super().__init__(fields)
        self.kind, self.frames = kind, {}


def maker(kind: str) -> Callable[..., Fields]:
    return lambda **fields: Fields(kind, **fields)


class Dataset(list):
    """Stands for FiftyOne's datasets."""

    def __init__(self, name: str, overwrite: bool, persistent: bool) -> None:
        super().__init__()
        self.name, self.overwrite, self.persistent = name, overwrite, persistent
        self.add_sample = self.append


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """The datasets that are made, in place of FiftyOne's database."""
    datasets: list[Dataset] = []

    def make(name: str, **options: Any) -> Dataset:
        datasets.append(Dataset(name, **options))
        return datasets[-1]

    kinds = ("Sample", "Frame", "Detection", "Detections", "TemporalDetection")
    module = SimpleNamespace(
        **{kind: maker(kind) for kind in (*kinds, "TemporalDetections")},
        Dataset=make,
        dataset_exists=lambda name: any(one.name == name for one in datasets),
    )
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    return datasets


def export(out: Path, *words: str) -> int:
    return main(["fiftyone", str(out), "--quiet", *words])


def test_boxes_of_frames_and_spans(
    run: Run, square_video: Path, tmp_path: Path, made: list[Dataset], capsys
) -> None:
    run(square_video)
    capsys.readouterr()
    assert export(tmp_path / "out", "--name", "mine") == 0
    assert capsys.readouterr().out == "1 video: fiftyone app launch mine\n"
    [dataset] = made
    assert dataset.persistent
    [sample] = dataset
    assert (sample["filepath"], sample["video"]) == (str(square_video), "square")
    [span] = sample["actions"]["detections"]
    assert (span["label"], span["support"]) == ("square", [1, 30])
    assert sorted(sample.frames) == list(range(1, 31))
    [box] = sample.frames[5]["tubes"]["detections"]
    [tube] = json.loads((tmp_path / "out" / "square" / "tubes.json").read_text())["tubes"]
    x1, y1, x2, y2 = tube["boxes"][4]
    shares = [x1 / 96, y1 / 64, (x2 + 1 - x1) / 96, (y2 + 1 - y1) / 64]
    assert box["bounding_box"] == shares
    assert (box["label"], box["index"], box["confidence"]) == ("square", 1, tube["scores"][4])


def test_a_part_of_a_video_that_is_gone(
    run: Run, square_video: Path, tmp_path: Path, made: list[Dataset]
) -> None:
    """Then the annotated video is shown, which begins where the part begins."""
    run(square_video, "--from", "0.4", "--to", "0.8")
    square_video.unlink()
    assert export(tmp_path / "out") == 0
    [[sample]] = made
    assert sample["filepath"] == str(tmp_path / "out" / "square" / "annotated.mp4")
    assert sorted(sample.frames) == list(range(1, 11))
    assert sample["actions"]["detections"][0]["support"] == [1, 10]


def test_a_dataset_is_not_replaced_unasked(
    run: Run, square_video: Path, tmp_path: Path, made: list[Dataset], capsys
) -> None:
    run(square_video)
    assert export(tmp_path / "out") == 0
    assert export(tmp_path / "out") == 2
    assert "FiftyOne has a dataset 'out': give another --name" in capsys.readouterr().err
    assert export(tmp_path / "out", "--overwrite") == 0
    assert made[-1].overwrite


def test_what_is_no_output_folder(tmp_path: Path, made: list[Dataset], capsys) -> None:
    assert export(tmp_path) == 2
    assert "no results of pcsc detect there" in capsys.readouterr().err
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "tubes.json").write_text('{"tubes": [{}]}')
    assert export(tmp_path) == 2
    assert "a/tubes.json: cannot be read as tubes" in capsys.readouterr().err


def test_without_fiftyone_it_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    assert export(tmp_path) == 2
    assert "needs fiftyone, which is not installed: pip install 'pcsc_d2[fiftyone]'" in (
        capsys.readouterr().err
    )


def test_a_real_dataset(run: Run, square_video: Path, tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone")
    run(square_video)
    assert export(tmp_path / "out", "--name", "pcsc-d2-test", "--overwrite") == 0
    dataset = fiftyone.load_dataset("pcsc-d2-test")
    try:
        assert dataset.media_type == "video"
        assert dataset.count("frames.tubes.detections") == 30
        assert dataset.distinct("actions.detections.label") == ["square"]
    finally:
        dataset.delete()
