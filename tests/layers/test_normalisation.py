"""What a stream does to a clip, by hand."""

from __future__ import annotations

import pytest
import torch

from pcsc_d2.layers.normalisation import normalise


def of(frames: list[float], differences: bool, bounded: bool = True) -> list[float]:
    clip = torch.tensor(frames).view(1, -1, 1, 1)
    mean, std = torch.tensor([[[[1.0]]]]), torch.tensor([[[[10.0]]]])
    return normalise(clip, mean, std, bounded, differences).flatten().tolist()


def test_frames() -> None:
    assert of([1, 6, 31], differences=False) == pytest.approx([0, 0.5, 1])
    assert of([1, 6, 31], differences=False, bounded=False) == pytest.approx([0, 0.5, 3])


def test_differences() -> None:
    assert of([3, 9, 5], differences=True) == pytest.approx([0.5, -0.5, -0.1])


def test_differences_of_one_frame() -> None:
    assert of([3], differences=True) == pytest.approx([-0.1])


def test_differences_are_along_time_alone() -> None:
    clips = torch.randn(2, 3, 1, 5, 7).expand(2, 3, 4, 5, 7)
    still = normalise(clips, torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1), True, True)
    assert still.shape == clips.shape
    assert not still.any()
