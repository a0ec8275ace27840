"""Counts by part, and times of tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.engine.analysis import PARTS, TOTAL
from tests.engine.test_train_net import SMALL

LINE = ["--config-file", "synthetic/quick.yaml"]
OPTIONS = [str(x) for pair in SMALL.items() for x in pair]
OPTIONS += ["MODEL.COOPERATION.IMAGE_MESSAGES", "True", "MODEL.ACTIONNESS.ON", "True"]


def counts_of(file: Path, *options: str) -> dict[str, dict[str, int]]:
    """What ``pcsc analyze`` counts, written to a file on the way."""
    assert main(["analyze", *LINE, "--json", str(file), *OPTIONS, *options]) == 0
    return json.loads(file.read_text())


def test_segments_take_the_place_of_actionness(tmp_path: Path) -> None:
    options = ("MODEL.ACTIONNESS.ON", "False", "MODEL.SEGMENTS.ON", "True")
    counts = counts_of(tmp_path / "counts.json", *options)
    assert set(counts) == {*PARTS, TOTAL} - {"actionness"}
    assert counts["segments"]["parameters"] > 0


def test_parts_are_all_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = counts_of(tmp_path / "counts.json")
    assert set(counts) == {*PARTS, TOTAL} - {"segments"}
    total = counts.pop(TOTAL)
    for kind, number in total.items():
        assert sum(part[kind] for part in counts.values()) == pytest.approx(number, rel=0.01), kind
    # Two convolutions of 1x1 at each level: from so many channels to a quarter, and back, in so
    # many cells of a clip that is padded to 64x64.
    channels, cells = (12, 32, 48, 64), (256, 64, 16, 4)
    expected = sum(2 * c * (c // 4) * n for c, n in zip(channels, cells))
    assert counts["messages between images"]["flops"] == expected
    shown = capsys.readouterr().out
    assert (
        "a clip of 4 frames of 240x320 seen at 48x64; at most 10 boxes of each RPN, 40 in" in shown
    )


@pytest.mark.parametrize("command", ["analyze", "export", "train"])
def test_other_models_detect_nothing(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["MODEL.META_ARCHITECTURE", "TrunkClassifier", "MODEL.I3D.WIDTH", "0.0625"]
    (tmp_path / "weights.pth").touch()
    weights = ["MODEL.WEIGHTS", str(tmp_path / "weights.pth")]
    added = {
        "analyze": options,
        "export": ["--out", str(tmp_path / "model.pt"), *options, *weights],
        "train": ["--eval-only", *options, "OUTPUT_DIR", str(tmp_path), "DATASETS.TEST", "()"],
    }
    assert main([command, *LINE, *added[command]]) == 2
    told = capsys.readouterr().err
    assert "TrunkClassifier detects nothing here: TwoStreamRCNN does" in told
    assert LINE[1] in told or command != "analyze"


def test_tasks_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *LINE, "--iterations", "2", "--warmup", "1", *OPTIONS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("synthetic/quick.yaml on the CPU")
    rows = {line.split()[0]: [float(x) for x in line.split()[1:]] for line in lines[3:]}
    assert list(rows) == ["data", "train", "evaluate"]
    assert [row[0] for row in rows.values()] == [2, 2, 4]
    for clips, mean, slowest, rate, peak in rows.values():
        assert 0 < mean <= slowest
        assert rate == pytest.approx(clips / mean, rel=0.05)
        assert peak > 10


def test_benchmark_without_data_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert main(["benchmark", *LINE, "--task", "data", *OPTIONS]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no folder" in line
