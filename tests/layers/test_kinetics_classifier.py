"""The Kinetics classifier, averaged over boxes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from pcsc_d2.layers.kinetics_classifier import KineticsClassifier, cell_shares


def test_shares_are_those_of_the_area() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 96, 64], [16, 0, 48, 32], [40, 40, 41, 41], [0, 0, 500, 500], [200, 0, 300, 9]]
    )
    shares = cell_shares(boxes, 2, 3, 32)
    assert torch.allclose(shares[0], torch.full((2, 3), 1 / 6))
    assert torch.allclose(shares[1], torch.tensor([[0.5, 0.5, 0], [0, 0, 0]]))
    assert torch.allclose(shares[2], torch.tensor([[0.0, 0, 0], [0, 1, 0]]))
    assert torch.allclose(shares[3], shares[0])
    assert shares[4].abs().max() == 0
    assert cell_shares(torch.zeros(0, 4), 2, 3, 32).shape == (0, 2, 3)


def test_logits_are_those_of_the_mean_over_the_box() -> None:
    torch.manual_seed(0)
    weights = {"logits.conv3d.weight": torch.randn(7, 5, 1, 1, 1)}
    weights["logits.conv3d.bias"] = torch.randn(7)
    c5, boxes = torch.randn(5, 2, 3), torch.tensor([[32.0, 0, 96, 32]])
    found = KineticsClassifier(weights)(c5, boxes)
    mean = c5[:, 0, 1:].mean(dim=1)
    expected = weights["logits.conv3d.weight"].flatten(1) @ mean + weights["logits.conv3d.bias"]
    torch.testing.assert_close(found, expected[None])
