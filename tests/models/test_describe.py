"""A checkpoint and its exported file say the same, and cut tubes alike by each setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.detect import ActionDetector, ClipDetections, DetectOptions, ModelInfo, load_model
from pcsc_d2.tubes import Tubes

pytestmark = pytest.mark.detectron2
pytest.importorskip("detectron2")

# A value other than the default for each setting in TEST.TUBES.
SETTINGS = {
    "ON": False,
    "PROTOCOL": "voc",
    "GAP": 2,
    "MIN_LENGTH": 16,
    "INTERPOLATE": True,
    "TEMPORAL_LABELLING": 3.0,
    "REFINE": False,
    "ACTIONNESS_THRESH": 0.2,
    "ACTIONNESS_WINDOW": 9,
}
# What scoring alone reads, and what a video that is not over cannot have.
WITHOUT_EFFECT = {"ON", "PROTOCOL", "TEMPORAL_LABELLING"}
FRAMES = 50


class Script:
    """Stands for a network: one box that moves, with a gap, and an actionness that falls."""

    def __init__(self, info: ModelInfo) -> None:
        self.info, self.frame = info, 0

    def __call__(self, clips: Sequence[object], size: tuple[int, int]) -> list[ClipDetections]:
        return [self._next() for _ in clips]

    def _next(self) -> ClipDetections:
        self.frame += 1
        there = int(self.frame not in (12, 13))
        box = np.array([[4, 4, 30, 30]] * there, np.float32).reshape(-1, 4)
        box[:, ::2] += self.frame // 4
        # High, with a dip of three frames, then middling, then low.
        actionness = 0.9 if self.frame <= 15 and self.frame not in (6, 7, 8) else 0.3
        actionness = 0.1 if self.frame > 44 else actionness
        one = np.full(there, 0.8, np.float32)
        return ClipDetections(box, one, np.zeros(there, np.int64), one * 0 + np.float32(actionness))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tiny model with an actionness head that was given a threshold and a window."""
    from detectron2.modeling import build_model

    path = tmp_path_factory.mktemp("run") / "model_final.pth"
    torch.manual_seed(0)
    model = build_model(config())
    model.roi_heads.actionness_head.threshold.fill_(0.5)
    model.roi_heads.actionness_head.window.fill_(1)
    torch.save({"model": model.state_dict()}, path)
    return path


def config(options: Sequence[object] = ()) -> object:
    from tests.tiny import tiny_config

    common = ["DATASETS.TEST", ("synthetic_easy_test",), "MODEL.ACTIONNESS.ON", True]
    return tiny_config([*common, "TEST.TUBES.MIN_LENGTH", 3, *options])


def both_infos(
    weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[object]
) -> tuple[ModelInfo, ModelInfo]:
    """Of the checkpoint and of its exported file, whose network is left out."""
    from pcsc_d2.export import checkpoint

    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    monkeypatch.setattr(checkpoint, "to_network", lambda *_: torch.jit.script(Nothing()))
    monkeypatch.setattr(checkpoint, "difference", lambda *_: 0.0)
    (folder / "config.yaml").write_text(config(options).dump())
    checkpoint.export(
        folder / "config.yaml", ["MODEL.WEIGHTS", str(weights)], folder / "m.pt", "exported"
    )
    loaded = load_model([folder / "config.yaml", weights], "cpu")
    return loaded.info, load_model([folder / "m.pt"], "cpu").info


def tubes_of(info: ModelInfo) -> Tubes:
    frames = np.zeros((FRAMES, 48, 64, 3), np.uint8)
    return ActionDetector(Script(info), DetectOptions(min_score=0, flow="dis_fast"))(frames)


def outline(tubes: Tubes) -> list[object]:
    return [tubes.start.tolist(), tubes.last.tolist(), tubes.boxes.tolist(), tubes.scores.tolist()]


@pytest.fixture(scope="module")
def usual(weights: Path) -> list[object]:
    """The tubes by the default of every setting."""
    path = weights.with_name("config.yaml")
    path.write_text(config().dump())
    return outline(tubes_of(load_model([path, weights], "cpu").info))


def test_every_setting_is_tried() -> None:
    from tests.tiny import tiny_config

    node = tiny_config().TEST.TUBES
    assert set(SETTINGS) == set(node)
    assert all(node[name] != value for name, value in SETTINGS.items())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_checkpoint_and_its_exported_file_cut_tubes_alike(
    weights: Path, usual: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options = [f"TEST.TUBES.{name}", SETTINGS[name]]
    checkpoint, exported = both_infos(weights, tmp_path, monkeypatch, options)
    assert exported.note == "exported"
    assert replace(checkpoint, note="") == replace(exported, note="")
    assert checkpoint.actionness
    found = outline(tubes_of(checkpoint))
    assert found == outline(tubes_of(exported))
    assert (found == usual) == (name in WITHOUT_EFFECT)


def test_flow_and_sizes_come_along(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["INPUT.FLOW.BOUND", 8.0, "INPUT.FLOW.METHOD", "dis_fast", "INPUT.MAX_SIZE_TEST", 99]
    for info in both_infos(weights, tmp_path, monkeypatch, options):
        assert (info.flow_bound, info.flow_method, info.max_size) == (8.0, "dis_fast", 99)
        assert (info.refine.threshold, info.refine.window, info.refine.min_length) == (0.5, 1, 3)
