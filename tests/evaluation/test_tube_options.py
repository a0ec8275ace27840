"""What TEST.TUBES makes of linking and refinement."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from pcsc_d2 import add_pcsc_config
from pcsc_d2.evaluation import link_options, refine_options, with_trained_refinement
from pcsc_d2.tubes import Detections, LinkOptions, RefineOptions, link
from tests.tiny import CONFIGS, tiny_config


def test_defaults_are_those_of_the_linker_and_leave_refinement_to_the_checkpoint() -> None:
    cfg = tiny_config()
    assert link_options(cfg) == LinkOptions()
    assert refine_options(cfg) is None


def test_every_key_reaches_its_option() -> None:
    keys = {"GAP": 5, "MIN_LENGTH": 4, "INTERPOLATE": True, "TEMPORAL_LABELLING": 3.0}
    keys |= {"ACTIONNESS_THRESH": 0.3, "ACTIONNESS_WINDOW": 7}
    cfg = tiny_config([x for k, v in keys.items() for x in (f"TEST.TUBES.{k}", v)])
    expected = LinkOptions(gap=5, min_length=4, interpolate=True, temporal_alpha=3.0)
    assert link_options(cfg) == expected
    assert refine_options(cfg) == RefineOptions(0.3, 7, min_length=4)
    cfg.TEST.TUBES.REFINE = False
    assert refine_options(cfg) is None


def test_temporal_labelling_of_the_config_ends_tubes_where_another_class_takes_over() -> None:
    # One actor; class 0 acts in the first half, class 1 in the second.
    box = np.float32([[0, 0, 9, 9]] * 2)
    frames = {
        ("v", f): (box, np.array([0.9, 0.1] if f <= 15 else [0.1, 0.9]), np.array([0, 1]))
        for f in range(1, 31)
    }
    detections = Detections.from_frames(["v"], ["a", "b"], [30], frames)
    plain, labelled = (
        link(detections, link_options(tiny_config(["TEST.TUBES.TEMPORAL_LABELLING", alpha])))
        for alpha in (0.0, 3.0)
    )
    assert plain.lengths.tolist() == [30, 30]
    assert (labelled.start.tolist(), labelled.last.tolist()) == ([1, 16], [15, 30])


def test_what_the_checkpoint_holds_is_used_unless_the_config_says_otherwise() -> None:
    cfg = tiny_config(["MODEL.ACTIONNESS.ON", True, "MODEL.COOPERATION.NUM_STAGES", 1])
    model = build_model(cfg)
    model.roi_heads.actionness_head.threshold.fill_(0.35)
    model.roi_heads.actionness_head.window.fill_(5)
    assert refine_options(with_trained_refinement(cfg, model)) == RefineOptions(0.35, 5)
    assert cfg.TEST.TUBES.ACTIONNESS_WINDOW == 0
    cfg.TEST.TUBES.ACTIONNESS_WINDOW = 9
    assert refine_options(with_trained_refinement(cfg, model)) == RefineOptions(0.35, 9)


def test_model_without_the_head_changes_nothing() -> None:
    cfg = tiny_config()
    assert with_trained_refinement(cfg, build_model(cfg)) is cfg


@pytest.mark.parametrize("name", ["jhmdb/baseline", "jhmdb/pcsc", "jhmdb/quick"])
def test_trimmed_videos_are_not_refined(name: str) -> None:
    assert not configured(name).TEST.TUBES.REFINE


@pytest.mark.parametrize("name", ["ucf101_24/baseline", "ucf101_24/pcsc", "synthetic/pairs_pcsc"])
def test_untrimmed_videos_are(name: str) -> None:
    assert configured(name).TEST.TUBES.REFINE


def configured(name: str) -> CfgNode:
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    return cfg
