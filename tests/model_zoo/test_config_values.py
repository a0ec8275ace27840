"""Generated values of configs that cannot be meant, through what every command reads configs by."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from detectron2.config import CfgNode, get_cfg

from pcsc_d2 import add_pcsc_config
from pcsc_d2.model_zoo import config_names, get_config
from pcsc_d2.model_zoo.config_values import check_values

NUMBERS = ("None", "-1e30", "1e30", "1 << 99", "'x'", "[[]]", "1e999", "-1e999", "1e999 * 0")


def usual() -> CfgNode:
    cfg = get_cfg()
    add_pcsc_config(cfg)
    return cfg


def leaves(cfg: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


@pytest.mark.parametrize("name", config_names())
def test_values_of_the_package_can_be(name: str) -> None:
    check_values(get_config(name), usual())


@pytest.mark.parametrize("seed", range(3))
def test_absurd_values_of_any_number_are_refused_by_key(seed: int) -> None:
    rng = random.Random(seed)
    config, default, taken = get_config("jhmdb/pcsc.yaml"), usual(), 0
    for key, value in leaves(default):
        if is_number(value) or (isinstance(value, (tuple, list)) and any(map(is_number, value))):
            number = rng.choice(NUMBERS)
            cfg = config.clone()
            with suppress(ValueError):  # of another type, says Detectron2
                cfg.merge_from_list([key, number if is_number(value) else f"({number}, {number})"])
                taken += 1
                with pytest.raises(ValueError, match=key.rpartition(".")[2]):
                    check_values(cfg, default)
    assert taken > 30


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.I3D.WIDTH", "-1.0"),
        ("MODEL.I3D.CONTEXT", "8"),
        ("MODEL.COOPERATION.NUM_STAGES", "101"),
        ("MODEL.FLOW.PIXEL_STD", "(0.0, 20.0)"),
        ("MODEL.FLOW.PIXEL_STD", "()"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "([],)"),
        ("MODEL.RPN.IOU_THRESHOLDS", "(0.7, 0.3)"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", "0"),
        ("INPUT.MIN_SIZE_TRAIN", "()"),
        ("INPUT.RANDOM_FLIP", "up"),
        ("SOLVER.STEPS", "(3, 2)"),
        ("SOLVER.LR_SCHEDULER_NAME", "Plain"),
        ("DATALOADER.NUM_WORKERS", "-1"),
    ],
)
def test_what_cannot_be_is_named(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"jhmdb/pcsc.yaml: .*{key}") as told:
        get_config("jhmdb/pcsc.yaml", [key, value])
    assert len(str(told.value)) < 400
