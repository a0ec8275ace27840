"""The flow trunk under classifiers of cells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from pcsc_d2.modeling import trunk_classifier
from pcsc_d2.modeling.trunk_classifier import cell_labels
from tests.tiny import tiny_config, tiny_input

OPTIONS = ["MODEL.META_ARCHITECTURE", "TrunkClassifier", "MODEL.I3D.NORM", "BN"]
TRUNK = "flow.backbone.bottom_up.trunk."


def test_labels_of_cells() -> None:
    truth = Instances((64, 96))
    truth.gt_boxes = Boxes(torch.tensor([[0.0, 0.0, 40.0, 30.0], [60.0, 20.0, 96.0, 64.0]]))
    truth.gt_classes = torch.tensor([2, 1])
    # Centres at 8, 24, 40, ... of either axis.
    assert cell_labels(truth, (4, 6), 16, 4).tolist() == [
        [2, 2, 2, 4, 4, 4],
        [2, 2, 2, 4, 1, 1],
        [4, 4, 4, 4, 1, 1],
        [4, 4, 4, 4, 1, 1],
    ]


def test_learns_the_upper_part_alone() -> None:
    torch.manual_seed(0)
    model = build_model(tiny_config([*OPTIONS, "MODEL.I3D.FREEZE_AT", 3])).train()
    model.dropout = 0.0
    inputs = [tiny_input(seed) for seed in range(2)]
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=0.05, momentum=0.9)
    totals = []
    for _ in range(15):
        losses = model(inputs)
        assert set(losses) == {"loss_cls_c4", "loss_cls_c5"}
        totals.append(sum(losses.values()))
        optimizer.zero_grad()
        totals[-1].backward()
        optimizer.step()
    assert totals[-1] < 0.7 * totals[0]
    names = {
        n.removeprefix(TRUNK).split(".")[0]
        for n, p in model.named_parameters()
        if p.grad is not None
    }
    assert {"Mixed_4b", "Mixed_5c", "classifiers"} <= names
    assert not names & {"Conv3d_1a_7x7", "Mixed_3c", "flow"}


@pytest.fixture
def imitating(tmp_path: Path) -> list:
    """Options of a model that foretells what a trunk of random weights sees."""
    torch.manual_seed(0)
    detector = build_model(tiny_config(OPTIONS[2:]))
    torch.save({"model": detector.state_dict()}, tmp_path / "rgb.pth")
    weights = ["MODEL.RGB.WEIGHTS", str(tmp_path / "rgb.pth")]
    return [*OPTIONS, *weights, "MODEL.TRUNK_CLASSIFIER.IMITATION", 2.0]


def test_foretells_what_rgb_sees(imitating: list) -> None:
    model = build_model(tiny_config(imitating)).train()
    inputs = [tiny_input(seed) for seed in range(2)]
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    losses = model(inputs)
    assert set(losses) == {
        f"loss_{kind}_{level}" for kind in ("cls", "imitation") for level in ("c4", "c5")
    }
    sum(losses.values()).backward()
    assert all(torch.equal(v, before[k]) for k, v in model.teacher.state_dict().items())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert model.flow.backbone.bottom_up.trunk.Conv3d_1a_7x7.conv3d.weight.grad.abs().sum() > 0


def test_teacher_has_its_weights_whatever_the_model_starts_from(imitating: list) -> None:
    path = imitating[imitating.index("MODEL.RGB.WEIGHTS") + 1]
    kept = torch.load(path, weights_only=True)["model"]
    model = build_model(tiny_config([*imitating, "MODEL.WEIGHTS", path]))
    key = "backbone.bottom_up.trunk.Conv3d_1a_7x7.conv3d.weight"
    assert torch.equal(model.teacher.state_dict()[key], kept[f"rgb.{key}"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["MODEL.RGB.WEIGHTS", ""], "needs MODEL.RGB.WEIGHTS"),
        (["MODEL.TRUNK_CLASSIFIER.IMITATION", -1.0], "IMITATION is -1.0; 0 or more"),
    ],
)
def test_imitation_that_cannot_be(imitating: list, options: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build_model(tiny_config([*imitating, *options]))


@torch.no_grad()
def test_imitation_is_in_variances_of_a_channel(
    imitating: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(tiny_config(imitating))
    goals = {k: torch.randn(2, c.in_channels, 4, 4) for k, c in model.predictors.items()}
    monkeypatch.setattr(trunk_classifier, "_maps", lambda *args: goals)
    labels = {level: torch.zeros(2, 4, 4, dtype=torch.int64) for level in goals}
    for predictor in model.predictors.values():
        torch.nn.init.dirac_(predictor.weight)
        torch.nn.init.zeros_(predictor.bias)
    # Cells of actors alone, which have 0.7 of the loss: 0 where it is foretold, and where the mean
    # is, a variance in each channel.
    exact = model._imitation([], goals, labels)
    assert all(value < 1e-9 for value in exact.values())
    means = {k: v.mean((0, 2, 3), keepdim=True).expand_as(v) for k, v in goals.items()}
    for value in model._imitation([], means, labels).values():
        assert value == pytest.approx(2 * 0.7, abs=0.01)


def test_detector_takes_its_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(tiny_config(OPTIONS))
    torch.save({"model": model.state_dict()}, tmp_path / "flow.pth")
    detector = build_model(
        tiny_config(["MODEL.FLOW.WEIGHTS", str(tmp_path / "flow.pth"), *OPTIONS[2:]])
    )
    expected = model.state_dict()
    found = {k: v for k, v in detector.state_dict().items() if k.startswith(TRUNK)}
    assert found
    assert all(torch.equal(v, expected[k]) for k, v in found.items())


def test_detects_nothing() -> None:
    with pytest.raises(ValueError, match="detects nothing"):
        build_model(tiny_config(OPTIONS)).eval()([tiny_input()])
