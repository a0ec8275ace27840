"""The comparison of refinements, on detectors that were never trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.experiments.refinement import VARIANTS
from pcsc_d2.experiments.refinement_tables import TITLES
from tests.tiny import tiny_config


def detector(folder: Path, *options: object) -> None:
    """Weights that were drawn at random, in the layout of the experiments' runs."""
    folder.mkdir(parents=True)
    small = {
        "INPUT.CLIP_LENGTH": 4,
        "INPUT.MIN_SIZE_TEST": 48,
        "MODEL.RPN.POST_NMS_TOPK_TEST": 8,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.15,
        "TEST.TUBES.MIN_LENGTH": 3,
        "SOLVER.ACTIONNESS.EPOCHS": 1,
        "SOLVER.SEGMENTS.EPOCHS": 1,
        "MODEL.ACTIONNESS.LABEL_IOU": 0.01,
        "SOLVER.ACTIONNESS.FOLDS": 2,
        "SOLVER.ACTIONNESS.WINDOWS": (1, 3),
        "SOLVER.ACTIONNESS.THRESHOLDS": (0.3, 0.6),
    }
    cfg = tiny_config([*(x for pair in small.items() for x in pair), *options])
    (folder / "config.yaml").write_text(cfg.dump())
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, folder / "model_final.pth")


def test_table_by_one_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    generate(tmp_path, "easy", {"train": 2, "test": 1}, (48, 64), (16, 16), progress=False)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    runs = tmp_path / "runs"
    for seed in (1, 2):
        detector(runs / f"seed{seed}" / "baseline")
        detector(runs / f"seed{seed}" / "pcsc", "MODEL.COOPERATION.NUM_STAGES", 1)
    line = ["experiments", "refinement", "--runs", str(runs), "--seeds", "1", "2"]
    line += ["--train", "synthetic_easy_train", "--test", "synthetic_easy_test"]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert all(title in printed for title in TITLES.values())
    assert "of 2 seeds" in printed
    assert (runs / "refinement.md").read_text() in printed
    found = json.loads((runs / "refinement.json").read_text())
    rows = found["rows"]
    assert {name: len(of) for name, of in rows.items()} == dict.fromkeys(TITLES, 2)
    for name in ("no_median", "segments", "segments_control"):
        assert rows[name][0]["figures"]["window"] == 1
    paired = found["differences"]["pcsc"]["refined"]["by_seed"]
    by_seed = [rows[name][1]["video"]["0.5"] for name in ("refined", "pcsc")]
    assert paired[1] == by_seed[0] - by_seed[1]
    assert "Temporal refinement" in (runs / "seed1" / "refinement" / "page.html").read_text()

    made = {path: path.stat().st_mtime_ns for path in runs.rglob("0*.npz")}
    made |= {path: path.stat().st_mtime_ns for path in runs.rglob("head.pth")}
    assert len(made) == 2 * (1 + 2 + 1 + 6)
    assert main(line) == 0
    assert json.loads((runs / "refinement.json").read_text()) == found
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())


def test_rows_say_nothing_twice() -> None:
    papers, loose = tiny_config(), tiny_config(["MODEL.ACTIONNESS.LABEL_IOU", 0.2])
    assert not any(variant.same_as(papers) for variant in VARIANTS.values())
    assert [n for n, v in VARIANTS.items() if v.same_as(loose)] == ["loose_labels"]


def test_missing_detector_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    line = ["experiments", "refinement", "--runs", str(tmp_path), "--train", "synthetic_easy_train"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(tmp_path))
        generate(tmp_path, "easy", {"train": 1, "test": 1}, (48, 64), (16, 16), progress=False)
        assert main([*line, "--test", "synthetic_easy_test"]) == 2
    said = capsys.readouterr().err
    assert "seed1/pcsc/model_final.pth: no such file" in said
    assert "pcsc experiments stages" in said
