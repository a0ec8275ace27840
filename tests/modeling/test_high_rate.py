"""PCSC with four stages trains at a rate of 0.03, on maps that are made up."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from tests.tiny import tiny_config

SIZE, CLASSES, RATE, ITERATIONS, RISE = (64, 96), 24, 0.03, 24, 20
OPTIONS = [
    *("MODEL.COOPERATION.NUM_STAGES", 4, "MODEL.COOPERATION.IMAGE_MESSAGES", True),
    *("MODEL.COOPERATION.SCORE_THRESH", 0.05, "MODEL.ROI_HEADS.NUM_CLASSES", CLASSES),
    *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 32, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 32, "SOLVER.BASE_LR", RATE),
]
BEFORE = [
    *("MODEL.COOPERATION.SCORE_THRESH_TRAIN", 0.05, "MODEL.RPN.IOU_THRESHOLDS", [0.3, 0.7]),
    *("SOLVER.CLIP_GRADIENTS.ENABLED", False),
]


class Scenes:
    """Inputs with one actor each, whose class some channels of its cells tell in both streams."""

    def __init__(self, model: nn.Module) -> None:
        self.random = torch.Generator().manual_seed(0)
        shapes = model.rgb.backbone.bottom_up.output_shape()
        self.codes = {
            stream: {
                level: 2 * (self._uniform(CLASSES, shape.channels) > 0.7).float()
                for level, shape in shapes.items()
            }
            for stream in ("rgb", "flow")
        }

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self.random)

    def draw(self) -> dict:
        label = int(torch.randint(0, CLASSES, (1,), generator=self.random))
        sides = 16 + self._uniform(2) * torch.tensor([24.0, 32.0])
        corner = self._uniform(2) * (torch.tensor([96.0, 64.0]) - sides)
        box = torch.cat([corner, corner + sides])
        instances = Instances(SIZE, gt_boxes=Boxes(box[None]), gt_classes=torch.tensor([label]))
        features = {
            stream: {level: self._map(level, code[label], box) for level, code in levels.items()}
            for stream, levels in self.codes.items()
        }
        return {"features": features, "image_size": SIZE, "instances": instances}

    def _map(self, level: str, code: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        stride = 2 ** int(level[1:])
        found = 0.5 * self._uniform(len(code), SIZE[0] // stride, SIZE[1] // stride)
        x1, y1, x2, y2 = (box / stride).int().tolist()
        found[:, y1 : y2 + 1, x1 : x2 + 1] += code[:, None, None]
        return found


def train(cfg: CfgNode) -> list[dict[str, float]]:
    """The losses of each iteration; the rate rises to its height in the first ones."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    scenes, optimizer, losses = Scenes(model), build_optimizer(cfg, model), []
    with EventStorage():
        for iteration in range(ITERATIONS):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, (iteration + 1) / RISE)
            found = model([scenes.draw(), scenes.draw()])
            optimizer.zero_grad()
            sum(found.values()).backward()
            optimizer.step()
            losses.append({k: float(v) for k, v in found.items()})
    return losses


def test_training_does_not_diverge() -> None:
    losses = [sum(x.values()) for x in train(tiny_config(OPTIONS))]
    assert len(losses) == ITERATIONS
    # Batches of two are too few to fall evenly.
    assert sum(losses[-5:]) / 5 < 1.5 * losses[0]


def test_without_the_recipe_training_diverges() -> None:
    """What the test above is about, by the settings of before."""
    with pytest.raises(FloatingPointError, match="diverged"):
        train(tiny_config([*OPTIONS, *BEFORE]))
