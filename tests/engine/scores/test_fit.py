"""Learned fusions and temperatures against cases whose answer is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pcsc_d2.engine.scores.fit import fit_fusion, fit_temperature
from pcsc_d2.modeling.fusion import ClassWeightsFusion, FullyConnectedFusion, LearnedFusion
from pcsc_d2.modeling.fusion.same_boxes import average_loss

KINDS = [ClassWeightsFusion, FullyConnectedFusion]


def noisy(classes: torch.Tensor, signal: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return signal * F.one_hot(classes, 4) + torch.randn(len(classes), 4, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signals", [(2.0, 2.0), (3.0, 0.0), (-1.0, 0.5), (0.0, 0.0), (9.0, 9.0)])
def test_learned_fusion_never_ends_below_the_average(
    kind: type[LearnedFusion], signals: tuple[float, float]
) -> None:
    classes = torch.randint(0, 4, (200,), generator=torch.Generator().manual_seed(1))
    rgb, flow = (noisy(classes, s, seed) for seed, s in enumerate(signals))
    fusion = kind(num_classes=3)
    found = fit_fusion(fusion, rgb, flow, classes)
    answer = F.nll_loss(fusion.probabilities(rgb, flow).clamp(min=1e-12).log(), classes)
    assert answer <= average_loss(rgb, flow, classes) + 1e-6
    assert (fusion.gain > 0) == (found.after < found.before)


def test_weights_go_to_the_stream_that_knows() -> None:
    classes = torch.randint(0, 4, (2000,), generator=torch.Generator().manual_seed(1))
    # The optimal classifier of unit noise with signal 3 is the softmax of 3 times RGB's logits.
    rgb, flow = noisy(classes, 3.0, 0), noisy(classes, 0.0, 1)
    fusion = ClassWeightsFusion(num_classes=3)
    fit_fusion(fusion, rgb, flow, classes)
    assert torch.allclose(fusion.weights[0], torch.tensor(3.0), atol=0.5)
    assert fusion.weights[1].abs().max() < 0.4


def test_ridge_keeps_near_the_start() -> None:
    classes = torch.randint(0, 4, (100,), generator=torch.Generator().manual_seed(1))
    rgb, flow = noisy(classes, 3.0, 0), noisy(classes, 0.0, 1)
    fusion = ClassWeightsFusion(num_classes=3)
    fit_fusion(fusion, rgb, flow, classes, ridge=1e4)
    assert torch.allclose(fusion.weights, torch.tensor(0.5), atol=1e-2)


@pytest.mark.parametrize("true", [0.5, 1.0, 4.0])
def test_temperature_of_known_logits(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20000, 4, generator=generator)
    classes = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    temperature, found = fit_temperature(logits * true, classes)
    assert temperature == pytest.approx(true, rel=0.05)
    assert found.after <= found.before + 1e-6


def test_temperature_has_bounds() -> None:
    logits, classes = torch.eye(4), torch.arange(4)
    assert fit_temperature(logits, classes)[0] == pytest.approx(0.05)
    assert fit_temperature(logits, classes.roll(1))[0] == pytest.approx(20.0)
