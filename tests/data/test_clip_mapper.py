"""Clips as the model sees them: both streams and the boxes in step."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.data import transforms as T

from pcsc_d2.data import ClipMapper
from pcsc_d2.flow.methods import compute_flow
from pcsc_d2.flow.store import FlowStore
from tests.tiny import tiny_config

Square = tuple[dict, list[list[float]]]


def mapper(*augmentations: T.Augmentation, is_train: bool = True, length: int = 4) -> ClipMapper:
    return ClipMapper(
        is_train, augmentations=list(augmentations), clip_length=length, flow=FlowStore(None)
    )


def flip() -> T.Augmentation:
    return T.RandomFlip(prob=1.0)


def test_model_input(moving_square: Square) -> None:
    clip, boxes = moving_square
    example = mapper()(clip)
    assert example["rgb"].shape == (3, 4, 80, 120)
    assert example["rgb"].dtype == torch.uint8
    assert example["flow"].shape == (2, 4, 80, 120)
    assert example["flow"].dtype == torch.float32
    assert example["instances"].gt_boxes.tensor.tolist() == [boxes[5]]
    assert example["instances"].gt_classes.tolist() == [2]
    kept = {"video_id", "frame_index", "height", "width", "file_name", "decoding"}
    assert {k: example[k] for k in kept} == {k: clip[k] for k in kept}
    # Frames 4 to 7 (1-based) around key frame 6, RGB and not OpenCV's BGR.
    for t, frame in enumerate((3, 4, 5, 6)):
        stored = cv2.imread(f"{clip['file_name']}/{frame:03d}.png")[..., ::-1]
        assert np.array_equal(example["rgb"][:, t].permute(1, 2, 0).numpy(), stored)


def test_testing_sees_no_ground_truth(moving_square: Square) -> None:
    assert "instances" not in mapper(is_train=False)(moving_square[0])


def test_dataset_dict_is_left_alone(moving_square: Square) -> None:
    clip, boxes = moving_square
    mapper(flip())(clip)
    assert clip["annotations"][0]["bbox"] == boxes[5]


def test_flip_twice_is_the_identity(moving_square: Square) -> None:
    clip, _ = moving_square
    once, twice, never = mapper(flip())(clip), mapper(flip(), flip())(clip), mapper()(clip)
    for key in ("rgb", "flow"):
        assert torch.equal(twice[key], never[key])
        assert not torch.equal(once[key], never[key])
    assert torch.equal(twice["instances"].gt_boxes.tensor, never["instances"].gt_boxes.tensor)
    assert torch.equal(once["rgb"], never["rgb"].flip(-1))
    assert torch.equal(once["flow"][0], -never["flow"][0].flip(-1))
    assert torch.equal(once["flow"][1], never["flow"][1].flip(-1))


AUGMENTATIONS = {
    "none": ((), (2, 1)),
    "flip": ((flip(),), (-2, 1)),
    "resize": ((T.Resize((160, 180)),), (3, 2)),
    "crop": ((T.RandomCrop("absolute", (60, 100)),), (2, 1)),
    "all": (
        (T.RandomCrop("absolute", (72, 110)), T.Resize((144, 330)), flip()),
        (-6, 2),
    ),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_streams_and_boxes_stay_in_step(name: str, moving_square: Square) -> None:
    augmentations, motion = AUGMENTATIONS[name]
    np.random.seed(3)
    example = mapper(*augmentations)(moving_square[0])
    frames = example["rgb"].permute(1, 2, 3, 0).numpy()
    flow = example["flow"].permute(1, 2, 3, 0).numpy()
    inside = np.s_[:, 25:-25, 30:-30]
    assert np.allclose(np.median(flow[inside], axis=(0, 1, 2)), motion, atol=0.15)
    # The flow is that of the very pixels beside it.
    seen = compute_flow(frames)
    assert np.abs(np.median(flow[:-1][inside] - seen[inside], axis=(0, 1, 2))).max() < 0.15
    # The box is where the square is in the key frame, the third of four.
    rows, columns = np.nonzero(frames[2].min(axis=-1) > 215)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.allclose(example["instances"].gt_boxes.tensor[0], found, atol=1.5)


def test_crop_cuts_boxes_and_drops_those_outside(moving_square: Square) -> None:
    clip, boxes = moving_square
    x1, y1, *_ = (int(v) for v in boxes[5])

    class Corner(T.Augmentation):
        def __init__(self, height: int, width: int) -> None:
            super().__init__()
            self._init({"height": height, "width": width})

        def get_transform(self, image: np.ndarray) -> T.Transform:
            return T.CropTransform(0, 0, self.width, self.height)

    cut = mapper(Corner(y1 + 5, x1 + 7))(clip)["instances"]
    assert cut.gt_boxes.tensor.tolist() == [[x1, y1, x1 + 7, y1 + 5]]
    assert len(mapper(Corner(y1, x1))(clip)["instances"]) == 0


def test_random_crop_of_the_config(root: Path) -> None:
    crop = ["INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [32, 40]]
    cfg = tiny_config([*crop, "INPUT.FLOW.CACHE", "none", "INPUT.MIN_SIZE_TRAIN", (32,)])
    clip = DatasetCatalog.get("synthetic_easy_train")[0]
    assert ClipMapper(cfg, is_train=True)(clip)["flow"].shape == (2, 8, 32, 40)
    # Testing is on whole frames, at the size for testing.
    assert ClipMapper(cfg, is_train=False)(clip)["flow"].shape[-2:] == (64, 85)


@pytest.mark.parametrize("content", ["missing", "empty", "truncated", "something else"])
def test_unreadable_video_is_left_out_with_one_warning(
    content: str, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = DatasetCatalog.get("synthetic_easy_train")[0]
    path, whole = tmp_path / "bad.mp4", Path(good["file_name"]).read_bytes()
    # Behind the index, before the frames of the clips.
    cut = whole.index(b"mdat") + 100
    parts = {"empty": b"", "truncated": whole[:cut], "something else": b"text" * 99}
    if content in parts:
        path.write_bytes(parts[content])
    bad = good | {"file_name": str(path), "flow_key": "bad"}
    reads = mapper()
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        assert [reads(bad | {"frame_index": i}) for i in (5, 6)] == [None, None]
        assert reads(good) is not None
    (line,) = [r.getMessage() for r in caplog.records]
    assert str(path) in line
    assert "\n" not in line


def test_damaged_flow_is_left_out_with_one_warning(
    moving_square: Square, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FlowStore(tmp_path / "flow")
    store.path("square").parent.mkdir(parents=True)
    store.path("square").write_bytes(b"no flow")
    reads = ClipMapper(True, augmentations=[], clip_length=4, flow=store)
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        assert reads(moving_square[0]) is None
        assert reads(moving_square[0]) is None
    (line,) = [r.getMessage() for r in caplog.records]
    assert "square.zip" in line
