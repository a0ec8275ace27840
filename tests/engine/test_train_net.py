"""The command: training, evaluating, and evaluating again from the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.modeling import build_model

from pcsc_d2.engine.train import train
from pcsc_d2.model_zoo import get_config
from pcsc_d2.tubes import Detections, Tubes
from tests.tiny import CONFIGS

SMALL = {
    "MODEL.I3D.WIDTH": 0.0625,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 10,
    "INPUT.CLIP_LENGTH": 4,
    "INPUT.MIN_SIZE_TRAIN": "(48,)",
    "INPUT.MIN_SIZE_TEST": 48,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.STEPS": "(1,)",
    "VIS_PERIOD": 1,
    "TEST.EVAL_ALL_STAGES": True,
    "MODEL.COOPERATION.NUM_STAGES": 2,
}


def run(folder: Path, *arguments: str) -> dict | None:
    config = str(CONFIGS / "synthetic" / "quick.yaml")
    options = [str(x) for pair in SMALL.items() for x in pair]
    line = ["--config-file", config, *arguments, "OUTPUT_DIR", str(folder), *options]
    return train(default_argument_parser().parse_args(line))


def test_train_then_evaluate_from_the_checkpoint(tmp_path: Path, root: Path) -> None:
    run(tmp_path / "train")
    folder = tmp_path / "train" / "inference" / "synthetic_easy_test"
    checkpoint = tmp_path / "train" / "model_final.pth"
    evaluated = run(tmp_path / "eval", "--eval-only", "MODEL.WEIGHTS", str(checkpoint))
    again = tmp_path / "eval" / "inference" / "synthetic_easy_test"

    results = json.loads((folder / "results.json").read_text())
    assert results == json.loads((again / "results.json").read_text())
    assert results["frame"]["0.5"] == evaluated["frame"]["AP50"]
    assert set(results["stages"]) == {"stage0", "stage1", "stage2"}
    detections = Detections.load(folder / "detections.npz")
    assert detections.nframes.tolist() == [16]
    assert len(detections) > 0
    Tubes.load(folder / "tubes.npz")
    assert "<html" in (folder / "page.html").read_text()
    # Flow was computed before training, beside the videos.
    assert len(list((root / "flow").rglob("*.zip"))) == 4
    logged = [json.loads(x) for x in (tmp_path / "train" / "metrics.json").open()]
    assert {"loss_cls_stage2_flow", "frame/AP50", "video/AP50"} <= set().union(*logged)


def test_evaluation_of_a_model_that_was_never_trained(tmp_path: Path) -> None:
    results = run(tmp_path, "--eval-only", "TEST.TUBES.ON", "False")
    assert list(results) == ["frame", "frame_stage0", "frame_stage1", "frame_stage2"]
    assert not (tmp_path / "inference" / "synthetic_easy_test" / "tubes.npz").exists()


def test_evaluation_of_a_baseline_as_pcsc_stops_unless_told(tmp_path: Path) -> None:
    weights = tmp_path / "baseline.pth"
    cfg = get_config("synthetic/quick.yaml", [x for pair in SMALL.items() for x in pair])
    cfg.MODEL.COOPERATION.NUM_STAGES = 0
    torch.save({"model": build_model(cfg).state_dict()}, weights)
    line = ["--eval-only", "MODEL.WEIGHTS", str(weights), "TEST.TUBES.ON", "False"]
    line += ["MODEL.COOPERATION.ROI_MESSAGES", "False"]
    with pytest.raises(ValueError, match="has no heads of stages 1, 2"):
        run(tmp_path / "refused", *line)
    assert "frame" in run(tmp_path / "told", *line, "TEST.INCOMPLETE_WEIGHTS", "True")


def test_iterations_that_are_used_are_in_the_saved_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After MAX_ITER and STEPS on the line.
    monkeypatch.setitem(SMALL, "SOLVER.EPOCHS", 0.1)
    run(tmp_path, "DATASETS.TEST", "()")
    saved = get_config(tmp_path / "config.yaml").SOLVER
    # A tenth of three clips' 48 frames in batches of 2.
    assert (saved.EPOCHS, saved.MAX_ITER, saved.STEPS) == (0.0, 3, (1,))
