"""Epochs in iterations, computed by hand."""

from __future__ import annotations

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from pcsc_d2.engine import epochs_to_iterations
from tests.tiny import tiny_config


def config(epochs: float, batch: int = 3, steps: tuple[float, ...] = (4.0, 5.0)) -> CfgNode:
    cfg = tiny_config(["SOLVER.EPOCHS", epochs, "SOLVER.IMS_PER_BATCH", batch])
    cfg.SOLVER.STEP_EPOCHS = steps
    return cfg


def schedule(cfg: CfgNode, size: int | None = None) -> tuple[int, tuple[int, ...]]:
    solver = epochs_to_iterations(cfg, size).SOLVER
    return solver.MAX_ITER, solver.STEPS


@pytest.mark.parametrize(
    ("epochs", "batch", "size", "iterations", "steps"),
    [
        (6.0, 3, 99, 198, (132, 165)),
        (6.0, 3, 100, 200, (134, 167)),  # 133.3 and 166.7, rounded up
        (0.5, 8, 100, 7, (50, 63)),
        (0.001, 8, 10, 1, (5, 7)),
    ],
)
def test_iterations(
    epochs: float, batch: int, size: int, iterations: int, steps: tuple[int, int]
) -> None:
    assert schedule(config(epochs, batch), size) == (iterations, steps)


def test_config_without_epochs_stays() -> None:
    cfg = config(0.0)
    assert epochs_to_iterations(cfg, 100) is cfg


def test_config_that_was_given_stays_and_twice_is_once() -> None:
    cfg = config(6.0)
    cfg.freeze()
    once = epochs_to_iterations(cfg, 100)
    assert once.is_frozen()
    assert cfg.SOLVER.EPOCHS == 6.0
    assert epochs_to_iterations(once, 7).SOLVER.MAX_ITER == once.SOLVER.MAX_ITER == 200


def test_size_is_that_of_the_training_set() -> None:
    cfg = config(2.0, batch=1, steps=(1.0,))
    cfg.DATASETS.TRAIN = ("synthetic_easy_train", "synthetic_easy_test")
    dicts = [d for name in cfg.DATASETS.TRAIN for d in DatasetCatalog.get(name)]
    annotated = sum(1 for d in dicts if d["annotations"])
    assert 0 < annotated < len(dicts)
    assert schedule(cfg) == (2 * annotated, (annotated,))
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    assert schedule(cfg) == (2 * len(dicts), (len(dicts),))
