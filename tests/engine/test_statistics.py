"""A flow trunk that starts from RGB's weights gets statistics of flow, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode

from pcsc_d2.engine import Trainer
from pcsc_d2.layers import InceptionI3D
from pcsc_d2.model_zoo.kinetics import kinetics_file
from tests.tiny import tiny_config

NORM = "Conv3d_2c_3x3.bn.running_mean"
FLOW = f"flow.backbone.bottom_up.trunk.{NORM}"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Small weights of RGB under the name of Kinetics'."""
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    state = InceptionI3D(3, width=0.0625).state_dict()
    kinetics_file().parent.mkdir(parents=True)
    torch.save(state, kinetics_file())
    return state


def config(folder: Path, *options: object) -> CfgNode:
    small = ("INPUT.CLIP_LENGTH", 4, "INPUT.MIN_SIZE_TEST", 32, "INPUT.MIN_SIZE_TRAIN", (32,))
    named = ("MODEL.RGB.WEIGHTS", "kinetics", "MODEL.FLOW.WEIGHTS", "kinetics")
    short = ("SOLVER.EPOCHS", 0.0, "SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 1)
    more = ("MODEL.I3D.NORM", "FrozenBN", "MODEL.I3D.PRECISE_BN", 6, "OUTPUT_DIR", str(folder))
    cfg = tiny_config([*small, *named, *short, *more, *options])
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("synthetic_easy_train",), ()
    return cfg


def started(cfg: CfgNode, resume: bool = False) -> dict[str, torch.Tensor]:
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    assert not any(hasattr(m, "estimating") and m.estimating for m in trainer.model.modules())
    return trainer.model.state_dict()


def test_statistics_of_flow_are_estimated_before_training(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = started(config(tmp_path))
    assert torch.equal(state[FLOW.replace("flow", "rgb", 1)], weights[NORM])
    assert not torch.allclose(state[FLOW], weights[NORM])
    # The next run takes what was kept, whatever its norms are called.
    again = started(config(tmp_path, "MODEL.I3D.NORM", "BN", "SEED", 5))
    assert torch.equal(again[FLOW], state[FLOW])
    other = started(config(tmp_path, "MODEL.I3D.PRECISE_BN", 2))
    assert not torch.equal(other[FLOW], state[FLOW])


def test_statistics_are_those_of_the_clips(tmp_path: Path) -> None:
    from pcsc_d2.data import ClipMapper, training_dicts

    cfg = config(tmp_path, "MODEL.I3D.PRECISE_BN", 4)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    stream, dicts = trainer.model.flow, training_dicts(cfg)
    clips = [ClipMapper(cfg, False)(dicts[round(i * (len(dicts) - 1) / 3)]) for i in range(4)]
    stem = stream.backbone.bottom_up.trunk.Conv3d_1a_7x7
    out: list[torch.Tensor] = []
    stem.conv3d.register_forward_hook(lambda *args: out.append(args[2]))
    stream.backbone.bottom_up(stream.preprocess(clips).tensor)
    torch.testing.assert_close(stem.bn.running_mean, out[0].mean((0, 2, 3, 4)))
    torch.testing.assert_close(stem.bn.running_var, out[0].var((0, 2, 3, 4)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "options", [("MODEL.I3D.PRECISE_BN", 0), ("MODEL.FLOW.SOURCE", "rgb")], ids=["off", "two rgb"]
)
def test_statistics_stay(options: tuple, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    assert torch.equal(started(config(tmp_path, *options))[FLOW], weights[NORM])


def test_checkpoint_keeps_the_statistics(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    expected = trainer.model.state_dict()[FLOW].clone()
    trainer.train()
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    model = Trainer.build_model(cfg)
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    assert torch.equal(model.state_dict()[FLOW], expected)


def test_flow_trunk_trains_by_itself(tmp_path: Path) -> None:
    alone = ("MODEL.META_ARCHITECTURE", "TrunkClassifier", "MODEL.I3D.FREEZE_AT", 3)
    cfg = config(tmp_path, *alone, "MODEL.I3D.NORM", "BN", "SOLVER.IMS_PER_BATCH", 2)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    before = trainer.model.state_dict()[FLOW].clone()
    trainer.train()
    trained = trainer.model.state_dict()
    assert not torch.equal(trained[FLOW], before)
    Trainer(cfg).resume_or_load(True)
    weights = str(tmp_path / "model_final.pth")
    model = Trainer.build_model(config(tmp_path, "MODEL.FLOW.WEIGHTS", weights))
    assert torch.equal(model.state_dict()[FLOW], trained[FLOW])
