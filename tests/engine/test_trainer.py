"""A resumed run ends where an uninterrupted one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng

from pcsc_d2.engine import Trainer
from tests.tiny import tiny_config

ITERATIONS, INTERRUPTED_AFTER = 6, 3


def config(folder: Path, *options: object) -> CfgNode:
    cfg = tiny_config(
        [
            *("MODEL.COOPERATION.NUM_STAGES", 2, "MODEL.COOPERATION.IMAGE_MESSAGES", True),
            # Running statistics are part of what has to come out equal.
            *("MODEL.I3D.NORM", "BN"),
            *("INPUT.CLIP_LENGTH", 4, "INPUT.MIN_SIZE_TRAIN", (32, 48)),
            *("INPUT.CROP.ENABLED", True),
            *("SOLVER.EPOCHS", 0.0, "SOLVER.MAX_ITER", ITERATIONS, "SOLVER.STEPS", (4,)),
            *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.WARMUP_ITERS", 2, "SOLVER.MOMENTUM", 0.9),
            *("SOLVER.CHECKPOINT_PERIOD", INTERRUPTED_AFTER, "OUTPUT_DIR", str(folder)),
            *options,
        ]
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("synthetic_easy_train",), ()
    return cfg


class MachineTakenError(Exception):
    """Ends a run as a machine does that is taken away."""


def train(cfg: CfgNode, resume: bool = False, until: int = ITERATIONS) -> Trainer:
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    if until < ITERATIONS:
        step = trainer.run_step

        def run_step() -> None:
            if trainer.iter == until:
                raise MachineTakenError
            step()

        trainer.run_step = run_step
        with pytest.raises(MachineTakenError):
            trainer.train()
    else:
        trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("warmup", "workers"),
    # The stages' warm-up ends when the run is resumed, or after that.
    [(INTERRUPTED_AFTER, 0), (INTERRUPTED_AFTER + 1, 2)],
)
def test_resumed_run_ends_with_the_same_weights(warmup: int, workers: int, tmp_path: Path) -> None:
    stages = ("MODEL.COOPERATION.WARMUP_ITERS", warmup)
    whole = train(config(tmp_path / "whole", *stages))
    # A step beyond the checkpoint is lost, and done again.
    train(config(tmp_path / "parts", *stages), until=INTERRUPTED_AFTER + 1)
    resumed = train(
        config(tmp_path / "parts", *stages, "DATALOADER.NUM_WORKERS", workers), resume=True
    )
    assert resumed.start_iter == INTERRUPTED_AFTER
    expected = whole.model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    momenta = [
        [s["momentum_buffer"] for s in t.optimizer.state_dict()["state"].values()]
        for t in (whole, resumed)
    ]
    assert len(momenta[0]) > 0
    assert all(torch.equal(a, b) for a, b in zip(*momenta))


def test_resumed_with_another_batch_goes_on_with_the_next_clip(tmp_path: Path) -> None:
    train(config(tmp_path), until=INTERRUPTED_AFTER + 1)
    trainer = Trainer(config(tmp_path, "SOLVER.IMS_PER_BATCH", 3))
    trainer.resume_or_load(True)
    assert trainer.start_iter == INTERRUPTED_AFTER
    assert trainer.data_loader.dataset.sampler.start == 2 * INTERRUPTED_AFTER


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.pth")}


def test_latest_checkpoints_and_the_best_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([{"video": {"AP50": value}} for value in (3.0, 5.0, 4.0, 2.0, 1.0)])
    monkeypatch.setattr(Trainer, "test", staticmethod(lambda cfg, model: next(scores)))
    often = ("SOLVER.CHECKPOINT_PERIOD", 1, "TEST.EVAL_PERIOD", 1, "SOLVER.KEEP", 2)
    train(config(tmp_path, *often), until=4)
    assert checkpoints(tmp_path) == {"model_0000002.pth", "model_0000003.pth", "model_best.pth"}
    # The next one is no better than the best before the interruption, and older ones still go.
    train(config(tmp_path, *often, "SOLVER.MAX_ITER", 5), resume=True)
    assert checkpoints(tmp_path) == {
        *("model_0000003.pth", "model_0000004.pth", "model_best.pth", "model_final.pth")
    }
    best = torch.load(tmp_path / "model_best.pth", weights_only=False)
    assert best["iteration"] == 1


def test_a_checkpoint_that_is_written_again_removes_no_other(tmp_path: Path) -> None:
    often = ("SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.KEEP", 3)
    train(config(tmp_path, *often), until=3)
    # Ended between the file and the tag that leads to it.
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    train(config(tmp_path, *often), resume=True, until=3)
    assert checkpoints(tmp_path) == {f"model_000000{n}.pth" for n in range(3)}


def test_last_model_can_be_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([{"video": {"AP50": value}} for value in (3.0, 5.0)])
    monkeypatch.setattr(Trainer, "test", staticmethod(lambda cfg, model: next(scores)))
    train(config(tmp_path, "TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 2))
    best, final = (tmp_path / f"model_{name}.pth" for name in ("best", "final"))
    assert best.read_bytes() == final.read_bytes()


@pytest.mark.parametrize("capable", [True, False])
def test_mixed_precision_on_the_cpu(
    capable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = set()
    convolve = torch.nn.Conv3d.forward

    def watched(self: torch.nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
        result = convolve(self, x)
        kinds.add(result.dtype)
        return result

    monkeypatch.setattr(torch.nn.Conv3d, "forward", watched)
    monkeypatch.setattr("pcsc_d2.engine.trainer.computes_bfloat16", lambda: capable)
    trainer = train(config(tmp_path, "SOLVER.AMP.ENABLED", True, "SOLVER.MAX_ITER", 2))
    assert kinds == {torch.bfloat16 if capable else torch.float32}
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


def test_seed_of_the_config_decides_what_is_learned(tmp_path: Path) -> None:
    one, other = (
        train(config(tmp_path / str(seed), "SEED", seed, "SOLVER.MAX_ITER", 1)) for seed in (1, 2)
    )
    key = "roi_heads.stage0_heads.rgb.predictor.cls_score.weight"
    weights = [t.model.state_dict()[key] for t in (one, other)]
    assert not torch.equal(*weights)


def test_run_without_a_seed_draws_one(tmp_path: Path) -> None:
    cfg = config(tmp_path, "SEED", -1)
    assert Trainer(cfg).cfg.SEED >= 0
    assert cfg.SEED == -1


def test_a_run_that_trains_in_other_groups_is_not_resumed(tmp_path: Path) -> None:
    train(config(tmp_path), until=INTERRUPTED_AFTER + 1)
    trainer = Trainer(config(tmp_path, "SOLVER.TRUNK_FACTOR", 0.5))
    with pytest.raises(ValueError, match=r"in other groups .* --resume needs the same SOLVER"):
        trainer.resume_or_load(True)
