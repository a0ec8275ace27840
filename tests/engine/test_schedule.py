"""Epochs in iterations, computed by hand."""

from __future__ import annotations

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from pcsc_d2.engine import epochs_to_iterations, scheduled, settle
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


def given(*options: object, epochs: float = 6.0) -> tuple[CfgNode, list[str]]:
    """The config after a command line with these options, and what was said about it."""
    cfg = config(epochs)
    cfg.merge_from_list([str(x) for x in options])
    return cfg, settle(cfg, options)


def test_iterations_that_are_given_win_over_epochs_of_the_config() -> None:
    cfg, (line,) = given("SOLVER.MAX_ITER", 600)
    assert line == (
        "SOLVER.MAX_ITER 600 as given, in place of 6 epochs; the rate drops at (400, 500)"
    )
    assert schedule(cfg, 99) == (600, (400, 500))
    cfg, lines = given("SOLVER.MAX_ITER", 600, "SOLVER.STEPS", (70, 80))
    assert schedule(cfg, 99) == (600, (70, 80))
    assert len(lines) == 2


def test_steps_that_are_given_win_over_step_epochs_alone() -> None:
    cfg, (line,) = given("SOLVER.STEPS", (70, 80))
    assert line == "SOLVER.STEPS (70, 80) as given, in place of STEP_EPOCHS"
    assert schedule(cfg, 99) == (198, (70, 80))


def test_what_is_given_last_wins() -> None:
    cfg, _ = given("SOLVER.MAX_ITER", 600, "SOLVER.EPOCHS", 2.0)
    assert schedule(cfg, 99)[0] == 66
    cfg, _ = given("SOLVER.EPOCHS", 2.0, "SOLVER.MAX_ITER", 600)
    assert schedule(cfg, 99)[0] == 600
    assert given("SOLVER.BASE_LR", 0.1)[1] == []
    assert given("SOLVER.MAX_ITER", 600, epochs=0.0)[1] == []


def of_easy_clips(batch: int, *options: object) -> CfgNode:
    cfg = config(6.0, batch)
    cfg.merge_from_list(list(options))
    cfg.DATASETS.TRAIN = ("synthetic_easy_train",)
    return cfg


@pytest.mark.parametrize(("batch", "ranks"), [(3, 2), (3, 4), (1, 2), (4, 3)])
def test_batch_that_the_ranks_cannot_share_is_refused(batch: int, ranks: int) -> None:
    with pytest.raises(ValueError, match=rf"IMS_PER_BATCH {batch} cannot be shared by {ranks} "):
        scheduled(of_easy_clips(batch), ranks)


def test_epochs_are_those_that_the_ranks_see() -> None:
    one, three = (scheduled(of_easy_clips(6), ranks).SOLVER for ranks in (1, 3))
    assert (one.MAX_ITER, one.STEPS) == (three.MAX_ITER, three.STEPS)
    frames = sum(1 for d in DatasetCatalog.get("synthetic_easy_train") if d["annotations"])
    assert 0 <= one.MAX_ITER * 6 - 6 * frames < 6


def test_batch_and_rate_grow_with_the_ranks_where_asked_for() -> None:
    cfg = of_easy_clips(3, "SOLVER.REFERENCE_WORLD_SIZE", 1, "MODEL.COOPERATION.WARMUP_ITERS", 90)
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_ITERS = 0.01, 30
    cfg.freeze()
    four = scheduled(cfg, 4)
    assert four.is_frozen()
    assert (four.SOLVER.IMS_PER_BATCH, four.SOLVER.WARMUP_ITERS) == (12, 8)
    assert pytest.approx(0.04) == four.SOLVER.BASE_LR
    assert four.MODEL.COOPERATION.WARMUP_ITERS == 22
    frames = sum(1 for d in DatasetCatalog.get("synthetic_easy_train") if d["annotations"])
    assert 0 <= four.SOLVER.MAX_ITER * 12 - 6 * frames < 12
    assert scheduled(four, 4) == four
    with pytest.raises(ValueError, match=r"no multiple of SOLVER\.REFERENCE_WORLD_SIZE 2"):
        scheduled(of_easy_clips(3, "SOLVER.REFERENCE_WORLD_SIZE", 2), 4)
