"""Every config loads, names the classes of its datasets and builds a model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("detectron2")

from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from pcsc_d2 import add_pcsc_config
from tests.tiny import CONFIGS

FILES = sorted(CONFIGS.rglob("*.yaml"))
# The size alone; what the model is made of stays as the file has it.
SMALL = ["MODEL.I3D.WIDTH", 0.0625, "MODEL.FPN.OUT_CHANNELS", 16, "MODEL.ROI_BOX_HEAD.FC_DIM", 16]
WEIGHTS = ["MODEL.WEIGHTS", "", "MODEL.RGB.WEIGHTS", "", "MODEL.FLOW.WEIGHTS", ""]
# Without weights there is nothing to imitate.
WEIGHTS += ["MODEL.TRUNK_CLASSIFIER.IMITATION", 0.0]


def load(path: Path) -> CfgNode:
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(path))
    return cfg


@pytest.fixture(params=FILES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def cfg(request: pytest.FixtureRequest) -> CfgNode:
    return load(request.param)


def test_there_are_configs() -> None:
    assert CONFIGS / "Base-PCSC-I3D-FPN.yaml" in FILES


def test_builds_a_model(cfg: CfgNode) -> None:
    cfg.merge_from_list([*SMALL, *WEIGHTS, "MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "TrunkClassifier":
        assert model.num_classes == cfg.MODEL.ROI_HEADS.NUM_CLASSES
        return
    heads = model.roi_heads
    assert heads.num_classes == cfg.MODEL.ROI_HEADS.NUM_CLASSES
    assert len(heads.stage_heads) == cfg.MODEL.COOPERATION.NUM_STAGES


def test_number_of_classes_is_that_of_the_datasets(cfg: CfgNode) -> None:
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        classes = MetadataCatalog.get(name).thing_classes
        assert len(classes) == cfg.MODEL.ROI_HEADS.NUM_CLASSES, name


def test_training_can_resume_exactly(cfg: CfgNode) -> None:
    assert cfg.SEED >= 0
    assert not cfg.DATALOADER.ASPECT_RATIO_GROUPING
