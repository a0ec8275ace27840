"""Configs that no network can be built of, and training that diverges, end in one line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from pcsc_d2.cli import main
from tests.engine.test_train_net import SMALL

NAMES = ("MODEL.ROI_HEADS.NAME", "MODEL.META_ARCHITECTURE", "MODEL.ANCHOR_GENERATOR.NAME",
         "MODEL.BACKBONE.NAME", "MODEL.RPN.HEAD_NAME", "MODEL.ROI_BOX_HEAD.NAME",
         "MODEL.I3D.NORM", "MODEL.FPN.NORM", "MODEL.DEVICE", "MODEL.FUSION.NAME",
         "MODEL.S3D.VARIANT", "MODEL.PROPOSAL_GENERATOR.NAME", "MODEL.ROI_BOX_HEAD.NORM",
         "MODEL.ROI_BOX_HEAD.POOLER_TYPE", "MODEL.FPN.FUSE_TYPE")  # fmt: skip


def line(*options: str) -> list[str]:
    small = [str(x) for pair in SMALL.items() for x in pair]
    return ["--config-file", "synthetic/quick.yaml", *small, *options]


@pytest.mark.parametrize("seed", range(6))
def test_names_that_nothing_has(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(seed)
    options = [rng.choice(NAMES), rng.choice(["x", "/etc/passwd", "cuda:z", "a" * 300])]
    options += ["MODEL.BACKBONE.NAME", "build_s3d_fpn_backbone"] if "S3D" in options[0] else []
    options += ["MODEL.COOPERATION.NUM_STAGES", "0"] if "FUSION" in options[0] else []
    assert main(["analyze", *line(*options)]) in ((0, 2) if options[0] == "MODEL.DEVICE" else (2,))
    told = capsys.readouterr().err.splitlines()
    assert all(each.startswith("error: ") for each in told)


def test_training_that_diverges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["SOLVER.BASE_LR", "1e12", "SOLVER.WARMUP_ITERS", "0", "SOLVER.MAX_ITER", "30"]
    options += ["SOLVER.CLIP_GRADIENTS.ENABLED", "False", "DATASETS.TEST", "()", "VIS_PERIOD", "0"]
    assert main(["train", *line(*options, "OUTPUT_DIR", str(tmp_path))]) == 2
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1].startswith("error: training has diverged (")
    assert "Traceback" not in shown.out + shown.err


@pytest.mark.parametrize("names", ["()", "('foreign',)"])
def test_nothing_to_train_on(
    names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "foreign" not in DatasetCatalog.list():
        DatasetCatalog.register("foreign", lambda: [{"file_name": "a.jpg", "annotations": []}])
    options = ["DATASETS.TRAIN", names, "DATASETS.TEST", "()", "OUTPUT_DIR", str(tmp_path)]
    assert main(["train", *line(*options)]) == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(
        "error: DATASETS.TRAIN is empty" if names == "()" else "error: dataset 'foreign' is not of"
    )
