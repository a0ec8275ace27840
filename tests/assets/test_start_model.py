"""The model that comes with the package detects where Detectron2 cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.datasets.synthetic.generate import generate, labels_of
from pcsc_d2.export import load_archive
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.iou import box_iou
from tests.test_imports import HIDE, ROOT, RUN


def test_is_small_and_says_what_it_is() -> None:
    assert SHIPPED_MODEL.stat().st_size <= 5_000_000
    _, info = load_archive(SHIPPED_MODEL)
    assert list(info.labels) == list(labels_of("easy"))
    assert "train_net.py" in info.note


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"train": 0, "val": 0, "test": 2}
    return generate(tmp_path_factory.mktemp("data"), "easy", sizes, progress=False)


def test_detects_without_detectron2(folder: Path, tmp_path: Path) -> None:
    arguments = [str(folder / "videos" / "test"), "--model", str(SHIPPED_MODEL), "--out"]
    hidden = "detectron2,fvcore"
    command = [sys.executable, "-c", HIDE + RUN, hidden, "pcsc_d2.detect", *arguments]
    done = subprocess.run(
        [*command, str(tmp_path), "--every", "4", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()
    for name in ("0000", "0001"):
        assert (tmp_path / name / "annotated.mp4").stat().st_size > 0
    assert any(finds_an_actor(folder, tmp_path, name) for name in ("0000", "0001"))


def finds_an_actor(folder: Path, results: Path, name: str) -> bool:
    """Whether some tube has the class and, at IoU 0.5, the place of an actor in some frame."""
    truth = GroundTruth.load(folder / "annotations.pkl")
    actors = truth.tubes
    here = truth.videos[actors.video[actors.box_tubes]] == f"test/{name}"
    for tube in json.loads((results / name / "tubes.json").read_text())["tubes"]:
        same = here & (actors.labels[actors.classes[actors.box_tubes]] == tube["label"])
        for frame, box in enumerate(tube["boxes"], start=tube["start_frame"]):
            there = actors.boxes[same & (actors.box_frames == frame)]
            if len(there) and box_iou(np.array([box]), there).max() >= 0.5:
                return True
    return False
