"""On a GPU the model finds what it finds on the CPU, and trains in mixed precision."""

from __future__ import annotations

import copy

import pytest
import torch
from detectron2.engine import AMPTrainer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from pcsc_d2.engine import Trainer
from pcsc_d2.layers import InceptionI3D
from tests.tiny import tiny_config, tiny_input

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

COOPERATION = ["MODEL.COOPERATION.NUM_STAGES", 4, "MODEL.COOPERATION.IMAGE_MESSAGES", True]
FUSION = ["MODEL.FUSION.NAME", "AverageFusion"]


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("options", [[], COOPERATION, COOPERATION + FUSION])
def test_detections_are_those_of_the_cpu(options: list) -> None:
    cpu = build_model(tiny_config(options)).eval()
    gpu = copy.deepcopy(cpu).cuda()
    clips = [tiny_input(0), tiny_input(1)]
    for expected, found in zip(cpu(clips), gpu(clips)):
        expected, found = expected["instances"], found["instances"].to("cpu")
        assert len(expected) > 0
        # Of all boxes: near ties may come in another order.
        assert len(found) == len(expected)
        scores = found.scores.sort().values, expected.scores.sort().values
        assert torch.allclose(*scores, atol=1e-4)
        far = torch.cdist(expected.pred_boxes.tensor, found.pred_boxes.tensor).min(dim=1).values
        assert (far < 0.05).float().mean() > 0.95


def test_maps_of_the_whole_trunk_are_those_of_the_cpu() -> None:
    cpu = InceptionI3D(3).eval()
    gpu = copy.deepcopy(cpu).cuda()
    clip = torch.randn(1, 3, 16, 64, 96)
    with torch.inference_mode():
        expected, found = cpu(clip), gpu(clip.cuda())
    for level, x in expected.items():
        assert (found[level].cpu() - x).norm() < 1e-4 * x.norm()


def test_steps_in_mixed_precision_train_both_streams() -> None:
    cfg = tiny_config([*COOPERATION, "MODEL.DEVICE", "cuda", "SOLVER.OPTIMIZER", "AdamW"])
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    model = build_model(cfg)
    before = copy.deepcopy(model.state_dict())
    batches = iter([[tiny_input(2 * i), tiny_input(2 * i + 1)] for i in range(4)])
    trainer = AMPTrainer(model, batches, Trainer.build_optimizer(cfg, model))
    trainer.grad_scaler = torch.amp.GradScaler("cuda", init_scale=256.0)
    with EventStorage():
        for _ in range(3):
            trainer.run_step()
    after = model.state_dict()
    for stream in ("rgb", "flow"):
        name = f"{stream}.backbone.bottom_up.trunk.Conv3d_1a_7x7.conv3d.weight"
        assert torch.isfinite(after[name]).all()
        assert not torch.equal(after[name], before[name])
