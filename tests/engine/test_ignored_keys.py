"""Detectron2's keys that the model does not look at."""

from __future__ import annotations

import pytest
from detectron2.config import get_cfg

from pcsc_d2 import add_pcsc_config
from pcsc_d2.engine.ignored_keys import IGNORED, ignored_keys
from tests.tiny import CONFIGS, tiny_config


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("MODEL.PIXEL_MEAN", [1.0, 2.0, 3.0], "MODEL.RGB.PIXEL_MEAN"),
        ("MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.I3D.FREEZE_AT"),
        ("INPUT.FORMAT", "RGB", "clips are RGB"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "shuffled"),
        ("MODEL.RESNETS.DEPTH", 101, "MODEL.I3D"),
    ],
)
def test_key_that_has_no_effect_is_named(key: str, value: object, what: str) -> None:
    (line,) = ignored_keys(tiny_config([key, value]))
    assert line.startswith(f"{key} is set and has no effect: ")
    assert what in line


def test_our_configs_set_none() -> None:
    for path in CONFIGS.rglob("*.yaml"):
        cfg = get_cfg()
        add_pcsc_config(cfg)
        cfg.merge_from_file(str(path))
        assert ignored_keys(cfg) == []
        # As it is saved and read again.
        again = get_cfg()
        add_pcsc_config(again)
        again.merge_from_other_cfg(type(cfg).load_cfg(cfg.dump()))
        assert ignored_keys(again) == []


def test_keys_are_detectron2s() -> None:
    assert ignored_keys(get_cfg()) == []
    assert len(IGNORED) > 10
