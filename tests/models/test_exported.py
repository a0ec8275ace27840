"""An exported file as a model: what is fed to it, and what is read from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.detect import ActionDetector, ModelError, ModelInfo, load_model
from pcsc_d2.export import save_archive
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.runtime import EngineError
from pcsc_d2.tubes import RefineOptions
from tests.square_model import square_at, square_frames

# Boxes, scores, classes, actionness.
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class BrightBox(torch.nn.Module):
    """Stands for a network: one box around what is bright, scored by the flow's mean."""

    def forward(self, rgb: torch.Tensor, flow: torch.Tensor) -> list[Found]:
        found: list[Found] = []
        for i in range(rgb.shape[0]):
            found.append(self.one(rgb[i, :, rgb.shape[2] // 2]))
        return found

    def one(self, image: torch.Tensor) -> Found:
        places = torch.nonzero(image.float().mean(0) > 160)
        # By operators that exported networks have, too.
        low, high = torch.topk(-places, 1, 0)[0][0] * -1, torch.topk(places, 1, 0)[0][0] + 1
        boxes = torch.stack([low[1], low[0], high[1], high[0]]).float()[None]
        score = torch.full((1,), 0.75)
        return boxes, score, torch.zeros(1, dtype=torch.int64), torch.full((1,), 0.9)

    @torch.jit.export
    def window(
        self, rgb: torch.Tensor, flow: torch.Tensor, key_frames: list[int], shared: int, step: int
    ) -> list[Found]:
        found: list[Found] = []
        for k in key_frames:
            found.append(self.one(rgb[:, k]))
        return found


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    about = ModelInfo(
        labels=("square",),
        clip_length=4,
        min_size=48,
        max_size=200,
        flow_method="dis_fast",
        note="a bright box",
        actionness=True,
        refine=RefineOptions(threshold=0.7, window=3),
    )
    network = torch.jit.script(BrightBox().eval())
    network = torch.jit.freeze(network, preserved_attrs=["window"])
    save_archive(network, about, tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.parametrize("dense", [None, Sharing("c3", 1)])
def test_boxes_of_the_clip_become_boxes_of_the_frame(archive: Path, dense: Sharing | None) -> None:
    tubes = ActionDetector(archive, device="cpu", dense=dense)(square_frames(20))
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1], [20])
    np.testing.assert_allclose(tubes.boxes[9], square_at(10), atol=1.5)  # resized by 3 / 4
    assert tubes.actionness.tolist() == pytest.approx([0.9] * 20)


def test_what_the_file_says(archive: Path) -> None:
    info = load_model([archive]).info
    assert (info.labels, info.note) == (("square",), "a bright box")
    assert info.refine == RefineOptions(threshold=0.7, window=3)


def test_clips_too_short_to_share(archive: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.pt: clips of 4 frames cannot share up to c5"):
        load_model([archive], "cpu", Sharing("c5"))


def test_engines_are_for_other_files(archive: Path) -> None:
    with pytest.raises(EngineError, match=r"model\.pt: a \.pt file runs in torch alone"):
        load_model([archive], engine="openvino")
    with pytest.raises(EngineError, match="engine torch runs in float32 alone"):
        load_model([archive], precision="bf16")


def test_another_device(archive: Path) -> None:
    with pytest.raises(ModelError, match=r"cpu.*meta"):
        load_model([archive], "meta")


def test_a_checkpoint_where_detectron2_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.yaml", "model_final.pth"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr("pcsc_d2.models.checkpoint.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="needs Detectron2, which is not installed; export it"):
        load_model([tmp_path])


def test_how_many_files_a_model_is(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.touch()
    with pytest.raises(ModelError, match="a model is one or two files"):
        load_model(files)
