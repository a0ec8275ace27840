"""pcsc fit-scores, from a detector to a checkpoint that evaluation uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_argument_parser
from detectron2.modeling import build_model

from pcsc_d2 import add_pcsc_config
from pcsc_d2.engine.scores.collect import collect
from pcsc_d2.engine.scores.train import main
from tests.engine.test_train_net import SMALL
from tests.tiny import CONFIGS, tiny_config

CONFIG = str(CONFIGS / "synthetic" / "quick.yaml")


def detector(folder: Path, stages: int) -> Path:
    """Weights of a small detector."""
    torch.manual_seed(0)
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(CONFIG)
    cfg.merge_from_list([x for pair in SMALL.items() for x in pair])
    cfg.MODEL.COOPERATION.NUM_STAGES = stages
    torch.save({"model": build_model(cfg).state_dict()}, folder / "detector.pth")
    return folder / "detector.pth"


def run(folder: Path, stages: int, *options: object) -> dict | None:
    weights = detector(folder, stages)
    small = SMALL | {"TEST.EVAL_ALL_STAGES": False, "MODEL.COOPERATION.NUM_STAGES": stages}
    pairs = [str(x) for pair in small.items() for x in pair]
    line = ["--config-file", CONFIG, "MODEL.WEIGHTS", str(weights), "OUTPUT_DIR"]
    line += [str(folder / "out"), *pairs, *map(str, options)]
    return main(default_argument_parser().parse_args(line))


def states(folder: Path) -> tuple[dict, dict]:
    paths = folder / "detector.pth", folder / "out" / "model_final.pth"
    return tuple(torch.load(path, weights_only=True)["model"] for path in paths)


@pytest.mark.parametrize("stages", [0, 2])
def test_fusion(tmp_path: Path, stages: int) -> None:
    scores = run(tmp_path, stages, "MODEL.FUSION.NAME", "FullyConnectedFusion")
    assert "frame" in scores
    before, after = states(tmp_path)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    told = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert told["learned"] < told["average"]
    gain = after["roi_heads.fusion.gain"].item()
    assert gain == pytest.approx(told["average"] - told["learned"], abs=1e-6)
    config = get_cfg()
    add_pcsc_config(config)
    config.merge_from_file(str(tmp_path / "out" / "config.yaml"))
    assert str(tmp_path / "out" / "model_final.pth") == config.MODEL.WEIGHTS


def test_temperatures(tmp_path: Path) -> None:
    run(tmp_path, 2, "MODEL.COOPERATION.CALIBRATED", True)
    _, after = states(tmp_path)
    told = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert list(told) == ["stage 0, rgb", "stage 0, flow", "stage 1", "stage 2"]
    found = [x["temperature"] for x in told.values()]
    assert after["roi_heads.temperatures"].tolist() == pytest.approx(found)
    assert all(x["after"] <= x["before"] for x in told.values())
    assert after["roi_heads.temperatures"].ne(1).all()


def test_nothing_to_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^nothing to fit: set MODEL\.FUSION\.NAME"):
        run(tmp_path, 0, "MODEL.FUSION.NAME", "BoostFusion")


def test_weights_that_lack_stages_are_refused(tmp_path: Path) -> None:
    options = ["MODEL.COOPERATION.CALIBRATED", True, "MODEL.COOPERATION.NUM_STAGES", 1]
    with pytest.raises(ValueError, match="has no heads of stages 1"):
        run(tmp_path, 0, *options)


@pytest.fixture
def small(root: Path) -> CfgNode:
    return tiny_config(
        [
            *("DATASETS.TRAIN", ("synthetic_easy_train",), "INPUT.CLIP_LENGTH", 4),
            *("INPUT.MIN_SIZE_TEST", 48, "SOLVER.SCORES.KEY_FRAMES", 2),
            # So that proposals of random weights hit something.
            *("MODEL.FUSION.NAME", "ClassWeightsFusion", "MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.1]),
        ]
    )


def test_both_heads_answer_for_the_same_boxes(small: CfgNode) -> None:
    torch.manual_seed(0)
    (rgb, classes), (flow, labels) = collect(small, build_model(small).eval(), sampled=True)
    assert torch.equal(classes, labels)
    assert rgb.shape == flow.shape == (len(classes), 5)
    # Two key frames of each of three videos, and no more boxes than heads train on.
    assert 0 < len(classes) <= 6 * small.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert (classes < 4).any()
