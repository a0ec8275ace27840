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
