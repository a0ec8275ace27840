"""Weights that lack stages are not taken for a whole model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("detectron2")

import torch
from detectron2.modeling import build_model

from pcsc_d2.models.info import ModelError
from pcsc_d2.models.trained import load_trained
from tests.tiny import tiny_config


@pytest.fixture
def baseline(tmp_path: Path) -> str:
    """Weights without stages."""
    path = tmp_path / "baseline.pth"
    torch.save({"model": build_model(tiny_config()).state_dict()}, path)
    return str(path)


def test_baseline_is_no_pcsc_unless_it_is_told_to_be(baseline: str) -> None:
    stages = ["MODEL.COOPERATION.NUM_STAGES", 2, "MODEL.COOPERATION.ROI_MESSAGES", False]
    with pytest.raises(ModelError, match=r"baseline\.pth: has no heads of stages 1, 2 "):
        load_trained(tiny_config([*stages, "MODEL.WEIGHTS", baseline]))
    told = [*stages, "MODEL.WEIGHTS", baseline, "TEST.INCOMPLETE_WEIGHTS", True]
    assert len(load_trained(tiny_config(told)).roi_heads.stage_heads) == 2
    assert not load_trained(tiny_config(["MODEL.WEIGHTS", baseline])).training
