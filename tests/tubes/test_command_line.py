"""The command line, where neither Detectron2 nor torch can be imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pcsc_d2
from pcsc_d2 import cli
from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, link, video_map

BARE = """
import runpy, sys
for name in ("detectron2", "torch", "cv2", "av", "scipy", "matplotlib"):
    sys.modules[name] = None
sys.argv[0] = "tubes"
runpy.run_module("pcsc_d2.tubes", run_name="__main__")
"""
BOX = (40, 40, 80, 90)


def main(arguments: list[str]) -> int:
    return cli.main(["tubes", *arguments])


@pytest.fixture
def folder(crowd: Detections, make_truth: Callable[..., GroundTruth], tmp_path: Path) -> Path:
    crowd.save(tmp_path / "d.npz")
    truth = make_truth([(v, c, 3, [BOX] * 9) for v in range(4) for c in range(2)], list("abcd"), 60)
    truth.save(tmp_path / "gt.pkl")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(pcsc_d2.__file__).parent.parent
    command = [sys.executable, "-c", BARE, *arguments]
    environment = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_link_then_score_without_detectron2_and_torch(folder: Path) -> None:
    linked = run(folder, "link", "--detections", "d.npz", "--out", "t.npz")
    assert linked.returncode == 0, linked.stderr
    assert "linking: 100%" in linked.stderr
    options = ("--detections", "d.npz", "--ground-truth", "gt.pkl", "--tubes", "t.npz")
    options += ("--frame-ious", "0.3", "0.5")
    scored = run(folder, "score", *options, "--json", "r.json", "--page", "r.html")
    assert scored.returncode == 0, scored.stderr
    assert "left out, without ground truth: wave" in scored.stdout
    results = json.loads((folder / "r.json").read_text())
    detections, truth = Detections.load(folder / "d.npz"), GroundTruth.load(folder / "gt.pkl")
    videos = video_map(link(detections), truth)
    assert set(results["frame"]) == {"0.3", "0.5", "0.5:0.95"}
    for iou in (0.3, 0.5):
        assert results["frame"][f"{iou}"] == frame_map(detections, truth, iou).mean
    assert results["video"] == {
        "0.2": videos[0.2].mean,
        "0.5": videos[0.5].mean,
        "0.75": videos[0.75].mean,
        "0.5:0.95": videos.average,
    }
    assert results["per_class"]["frame"]["0.5"]["wave"] is None
    assert results["per_class"]["video"]["0.2"]["run"] == videos[0.2].per_class["run"]
    assert (folder / "r.html").read_text().startswith("<!doctype html>")


def test_scoring_links_where_there_are_no_tubes(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    paths = ["--detections", str(folder / "d.npz"), "--ground-truth", str(folder / "gt.pkl")]
    assert main(["score", *paths, "--split", "0", "--gap", "5"]) == 0
    printed = capsys.readouterr().out
    assert "video 0.5:0.95" in printed
    assert "protocol act" in printed


def test_actionness_refines_by_window_and_threshold(
    make_detections: Callable[..., Detections], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = [(0, frame, 0, 0.9, (0, 0, 9, 9)) for frame in range(1, 31)]
    # One frame within the action looks as if it were over.
    values = [0.9] * 12 + [0.1] + [0.9] * 17
    make_detections(rows, actionness=values).save(tmp_path / "detections.npz")
    out = tmp_path / "tubes.npz"
    line = ["link", "--detections", str(tmp_path / "detections.npz"), "--out", str(out)]
    line += ["--actionness-threshold", "0.5"]
    for window, lengths in (("1", [12, 17]), ("3", [30])):
        assert main([*line, "--actionness-window", window]) == 0
        assert Tubes.load(out).lengths.tolist() == lengths
        assert "1 tubes linked, 0 vanished" in capsys.readouterr().err


def test_convert_and_show(folder: Path, capsys: pytest.CaptureFixture) -> None:
    link(Detections.load(folder / "d.npz")).save(folder / "t.npz")
    for source, target in (("d.npz", "d.csv"), ("t.npz", "t.json"), ("gt.pkl", "gt.csv")):
        assert main(["convert", str(folder / source), str(folder / target)]) == 0
        assert (folder / target).stat().st_size > 100
    capsys.readouterr()
    for name in ("d.npz", "t.npz", "gt.pkl"):
        assert main(["show", str(folder / name)]) == 0
    shown = capsys.readouterr().out
    detections = Detections.load(folder / "d.npz")
    assert f"{len(detections)} detections, 4 videos, 147 frames" in shown
    assert "training + test videos of each split: 0 + 4" in shown
    assert main(["show", str(folder / "t.npz"), "--video", "a"]) == 0
    tubes = Tubes.load(folder / "t.npz")
    assert f"{(tubes.video == 0).sum()} tubes in 'a'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "none.npz"], r"none\.npz: no such file"),
        (["link", "--detections", "gt.pkl", "--out", "x.npz"], r"gt\.pkl: cannot be read as \.npz"),
        (["convert", "d.npz", "x.xml"], r"x\.xml: expected a name that ends in \.npz"),
        (["show", "d.npz", "--video", "q"], "unknown video 'q'"),
        (
            ["link", "--detections", "d.npz", "--out", "x.npz", "--gap", "0"],
            "--gap: '0' is no whole",
        ),
        (
            ["score", "--detections", "d.npz", "--ground-truth", "gt.pkl", "--split", "4"],
            "there is no split 4",
        ),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(f"error: .*{message}", error)


def test_a_page_without_jinja_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    line = ["score", "--detections", str(folder / "d.npz"), "--split", "0"]
    line += ["--ground-truth", str(folder / "gt.pkl"), "--page", str(folder / "r.html")]
    assert main(line) != 0
    [error] = [e for e in capsys.readouterr().err.splitlines() if e.startswith("error: ")]
    assert error.endswith("needs jinja2, which is not installed: pip install 'pcsc_d2[report]'")
    assert not (folder / "r.html").exists()
