"""The three splits one after another, with a stand-in for the training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.experiments import jhmdb_splits

STAND_IN = """
import json, pathlib, sys, zipfile
options = {k: sys.argv[i + 1] for i, k in enumerate(sys.argv[:-1])}
split = int(options["DATASETS.TEST"][len("('jhmdb_split")])
assert options["DATASETS.TRAIN"] == f"('jhmdb_split{split}_train',)"
out = pathlib.Path(options["OUTPUT_DIR"])
with open(out.parent / "calls", "a") as log:
    log.write(f"{split} {' '.join(sys.argv[1:])}\\n")
folder = out / "inference" / f"jhmdb_split{split}_test"
folder.mkdir(parents=True, exist_ok=True)
content = {"protocol": "act", "frame": {"0.5": 10.0 * split}}
(folder / "results.json").write_text(json.dumps(content))  # an evaluation on the way
if options.get("FAIL") == str(split):
    sys.exit(3)
with zipfile.ZipFile(out / "model_final.pth", "w") as model:
    model.writestr("data", "")
(folder / "results.json").write_text(json.dumps(content))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)

    def train(words: list[str]) -> int:
        assert words[:2] == ["pcsc_d2", "train"]
        return subprocess.run([sys.executable, str(script), *words[2:]]).returncode

    monkeypatch.setattr(jhmdb_splits, "run_module", train)
    (tmp_path / "out").mkdir()

    def run(*arguments: str) -> int:
        fixed = ["--config-file", "jhmdb/quick.yaml", "--out", str(tmp_path / "out")]
        return main(["experiments", "jhmdb-splits", *fixed, *arguments])

    return run


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "out" / "calls").read_text().splitlines()


def test_splits_are_trained_and_averaged(run, tmp_path: Path, capsys) -> None:
    assert run("--num-gpus", "2", "SOLVER.MAX_ITER", "5") == 0
    assert [call.split()[0] for call in calls(tmp_path)] == ["1", "2", "3"]
    assert all("--num-gpus 2 " in call for call in calls(tmp_path))
    assert all(" SOLVER.MAX_ITER 5 DATASETS.TRAIN" in call for call in calls(tmp_path))
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert content["frame"] == {"0.5": 20.0}
    assert content["mean_of"] == [f"jhmdb_split{k}_test" for k in (1, 2, 3)]
    assert "mean" in capsys.readouterr().out


def test_interrupted_run_goes_on(run, tmp_path: Path, capsys) -> None:
    assert run("FAIL", "2") == 3
    assert "split 2: pcsc train ended with status 3" in capsys.readouterr().err
    assert not (tmp_path / "out/results.json").exists()
    assert run("--resume") == 0
    assert [call.split()[0] for call in calls(tmp_path)] == ["1", "2", "2", "3"]
    assert "--resume" in calls(tmp_path)[-1]


def test_a_split_whose_model_is_damaged_is_done_again(run, tmp_path: Path) -> None:
    assert run("--splits", "1", "2") == 0
    (tmp_path / "out/split2/model_final.pth").write_bytes(b"")
    assert run("--resume", "--splits", "1", "2") == 0
    assert [call.split()[0] for call in calls(tmp_path)] == ["1", "2", "2"]


def test_evaluating_takes_the_weights_of_each_split(run, tmp_path: Path) -> None:
    assert run("--eval-only", "--splits", "2", "3") == 0
    for split, call in zip((2, 3), calls(tmp_path)):
        assert call.endswith(f"MODEL.WEIGHTS {tmp_path}/out/split{split}/model_final.pth")
