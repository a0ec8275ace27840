from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.tubes.scoring.averaging import average_results


def write(path: Path, frame_05: float, video: float, run: float | None, **more: object) -> Path:
    content = {
        "protocol": "act",
        "unit": "percent",
        "frame": {"0.5": frame_05},
        "frame_at_075": frame_05 / 2,
        "video": {"0.5": video},
        "per_class": {"frame": {"0.5": {"run": run, "wave": 10.0, "sit": None}}},
        "without_ground_truth": [] if run is not None else ["run"],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **more}))
    return path


@pytest.fixture
def splits(tmp_path: Path) -> list[Path]:
    values = [(30.0, 20.0, 40.0), (36.0, 26.0, None), (33.0, 29.0, 50.0)]
    return [
        write(tmp_path / f"split{k}/inference/jhmdb_split{k}_test/results.json", *row)
        for k, row in enumerate(values, start=1)
    ]


def test_means_by_hand(splits: list[Path]) -> None:
    mean = average_results(splits).mean
    assert mean["frame"] == {"0.5": 33.0}
    assert mean["frame_at_075"] == 16.5
    assert mean["video"] == {"0.5": 25.0}
    # A class without ground truth in a split is averaged over the others.
    assert mean["per_class"]["frame"]["0.5"] == {"run": 45.0, "wave": 10.0, "sit": None}
    assert (mean["protocol"], mean["unit"]) == ("act", "percent")


def test_command_prints_each_and_the_mean(
    splits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mean.json"
    folders = [str(path.parents[2]) for path in splits]
    assert main(["tubes", "average", *folders, "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["frame", "0.5", "frame", "0.75", "video", "0.5"]
    assert [line.split()[0] for line in lines[2:]] == [
        "jhmdb_split1_test", "jhmdb_split2_test", "jhmdb_split3_test", "mean",
    ]  # fmt: skip
    assert lines[-1].split() == ["mean", "33.00", "16.50", "25.00"]
    written = json.loads(out.read_text())
    assert written["video"] == {"0.5": 25.0}
    assert written["mean_of"] == [f"jhmdb_split{k}_test" for k in (1, 2, 3)]


def test_stages_have_a_row_each(tmp_path: Path) -> None:
    files = [
        write(tmp_path / name / "r.json", 1, 1, 1, stages={"stage0": {"AP50": ap, "AP75": 2.0}})
        for name, ap in (("a", 10.0), ("b", 20.0))
    ]
    assert average_results(files).table().splitlines()[-1].split() == [
        "mean,", "stage0", "15.00", "2.00",
    ]  # fmt: skip


def test_what_does_not_compare_is_refused(
    splits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voc = write(tmp_path / "voc.json", 1, 1, 1, protocol="voc")
    frames = write(tmp_path / "frames.json", 1, 1, 1, frame={"0.5": 1.0, "0.9": 1.0})
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text("[1]")
    for paths, message in (
        ([splits[0]], "at least two results"),
        ([splits[0], splits[0]], "each of them once"),
        ([splits[0], voc], "differ in protocol: act, voc"),
        ([splits[0], frames], "frames.json: holds other scores than"),
        ([splits[0], tmp_path / "bad.json"], "bad.json: cannot be read as JSON"),
        ([splits[0], tmp_path / "other.json"], "other.json: cannot be read as results"),
        ([splits[0], tmp_path / "none.json"], "none.json: no such results"),
        ([splits[0], tmp_path], "holds 3 results.json, expected one"),
    ):
        assert main(["tubes", "average", *map(str, paths)]) == 2
        assert message in capsys.readouterr().err
