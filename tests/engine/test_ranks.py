"""Training on several CPU processes is training on one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.engine import Trainer
from pcsc_d2.tubes import Detections
from tests.engine.test_trainer import config, train
from tests.ranks import on_ranks

ROOT = Path(__file__).parents[2]
# Six clips a step, all of one size, as clips of a batch are padded to the largest; and nothing is
# sampled, so that what is drawn does not depend on the rank.
OPTIONS = (
    *("SOLVER.IMS_PER_BATCH", 6, "SOLVER.MAX_ITER", 3, "SOLVER.CHECKPOINT_PERIOD", 2),
    *("INPUT.MIN_SIZE_TRAIN", (48,), "INPUT.CROP.ENABLED", False),
    *("MODEL.I3D.NORM", "GN", "DATALOADER.NUM_WORKERS", 2),
    # Other batches may round otherwise, and ranks cut the video elsewhere.
    *("TEST.IMS_PER_BATCH", 1),
    *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 10**6, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 10**5),
)


def trained(folder: Path) -> dict[str, torch.Tensor]:
    """The weights after training and evaluating."""
    cfg = config(folder, *OPTIONS)
    cfg.DATASETS.TEST = ("synthetic_easy_test",)
    model = train(cfg).model
    return getattr(model, "module", model).state_dict()


def losses(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.json").open()]
    return [
        {k: v for k, v in line.items() if "loss" in k} for line in lines if "total_loss" in line
    ]


@pytest.fixture(scope="module")
def alone(generated_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process, with its weights in ``weights``."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(generated_root))
        torch.save(trained(folder), folder / "weights")
    return folder


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_train_and_detect_as_one_process(ranks: int, alone: Path, tmp_path: Path) -> None:
    first, *others = on_ranks(trained, ranks, tmp_path, tmp_path)
    for other in others:
        assert all(torch.equal(value, other[key]) for key, value in first.items())
    expected = torch.load(alone / "weights", weights_only=True)
    for key, value in first.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-5, msg=key)
    for ours, theirs in zip(losses(tmp_path), losses(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    ours, theirs = (x / "inference" / "synthetic_easy_test" for x in (tmp_path, alone))
    found = [Detections.load(x / "detections.npz") for x in (ours, theirs)]
    assert len(found[0]) == len(found[1]) > 0
    np.testing.assert_allclose(found[0].scores, found[1].scores, rtol=1e-2)
    # What ranks found together is what one process finds with the same weights.
    cfg = config(tmp_path / "again", *OPTIONS)
    cfg.DATASETS.TEST = ("synthetic_easy_test",)
    model = Trainer.build_model(cfg)
    model.load_state_dict(first)
    Trainer.test(cfg, model)
    again = tmp_path / "again" / "inference" / "synthetic_easy_test"
    assert (again / "results.json").read_text() == (ours / "results.json").read_text()
    assert (again / "detections.npz").read_bytes() == (ours / "detections.npz").read_bytes()
