"""The scores of an exported file are those of the model that it was made from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate
from tests.tiny import tiny_config

DATASET = "synthetic_easy_test"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    sizes = {"train": 0, "val": 0, "test": 1}
    generate(tmp_path / "datasets", "easy", sizes, (48, 64), length=(16, 16), progress=False)
    yield
    for name in ("detectron2", "fvcore", "pcsc_d2"):
        logging.getLogger(name).handlers.clear()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A training run's folder with a model that nobody has trained, at sizes of its own."""
    options = ["DATASETS.TEST", (DATASET,), "INPUT.MIN_SIZE_TEST", 56, "INPUT.MAX_SIZE_TEST", 72]
    options += ["TEST.TUBES.MIN_LENGTH", 4, "TEST.TUBES.GAP", 2]
    cfg = tiny_config(options)
    torch.manual_seed(0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(cfg.dump())
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "run" / "model_final.pth")
    return tmp_path / "run"


def scores(model: Path, out: Path, *more: str) -> dict:
    words = ["evaluate", "--model", str(model), "--datasets", DATASET, "--out", str(out), *more]
    assert main([*words, "DATALOADER.NUM_WORKERS", "0"]) == 0
    return json.loads((out / "inference" / DATASET / "results.json").read_text())


def flat(results: object, name: str = "") -> dict[str, float]:
    """Every number of some results, by where it is."""
    if isinstance(results, dict):
        return {k: v for key, x in results.items() for k, v in flat(x, f"{name}/{key}").items()}
    return {name: results} if isinstance(results, (int, float)) else {}


def test_as_the_model(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.pt"
    assert main(["export", "--model", str(run_folder), "--out", str(file)]) == 0
    expected, found = scores(run_folder, tmp_path / "a"), scores(file, tmp_path / "b")
    assert flat(found) == pytest.approx(flat(expected), abs=1e-3, nan_ok=True)
    assert len(flat(found)) > 10
    capsys.readouterr()
    labels = ["--labels", "green-sway,red-sway,blue-bounce,blue-twist"]
    assert main(["export", "--model", str(run_folder), "--out", str(file), *labels]) == 0
    words = ["evaluate", "--model", str(file), "--datasets", DATASET, "--out", str(tmp_path)]
    assert main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"error: {file}: its 'green-sway' is 'red-sway' in {DATASET}"


def test_as_detect_looks_at_videos(run_folder: Path, tmp_path: Path) -> None:
    """Clip by clip it is what evaluation says; densely nearly that."""
    expected = scores(run_folder, tmp_path / "a")
    found = scores(run_folder, tmp_path / "b", "--engine", "torch")
    assert flat(found) == pytest.approx(flat(expected), abs=1e-3, nan_ok=True)
    dense = scores(run_folder, tmp_path / "c", "--dense", "--dense-step", "1")
    assert flat(dense).keys() == flat(expected).keys()


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, why in (("no.pt", "no such model"), (tmp_path, "no training run's folder")):
        words = ["evaluate", "--model", str(model), "--datasets", DATASET]
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert why in line
