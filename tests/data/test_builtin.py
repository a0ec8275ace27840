"""The registered datasets under Detectron2's dataset root."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from pcsc_d2.data import dataset_root, evaluated_truth, evaluation_dicts, training_dicts
from pcsc_d2.data.datasets import ActionDataset
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video.files import find_video
from tests.tiny import tiny_config

MakeSet = Callable[..., Path]
CLASSES = {"ucf101_24": 24, "jhmdb": 21, "synthetic_easy": 4, "synthetic_pairs": 9}
NAMES = [
    "ucf101_24_train",
    "ucf101_24_mini_train",
    "ucf101_24_test",
    "ucf101_24_fit",
    "ucf101_24_val",
    *(f"jhmdb_split{n}_{p}" for n in (1, 2, 3) for p in ("train", "test", "fit", "val")),
    *(f"synthetic_{k}_{part}" for k in ("easy", "pairs") for part in ("train", "val", "test")),
]
SIZE = (48, 64)
GREY = np.full((16, *SIZE, 3), 128, np.uint8)


def dicts(part: str = "train") -> list[dict]:
    return DatasetCatalog.get(f"synthetic_easy_{part}")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_registered(name: str) -> None:
    assert name in DatasetCatalog.list()
    metadata = MetadataCatalog.get(name)
    kind = next(k for k in CLASSES if name.startswith(k))
    assert len(set(metadata.thing_classes)) == CLASSES[kind]
    assert callable(metadata.load_ground_truth)


def test_root_is_that_of_detectron2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert dataset_root() == tmp_path
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/clips")
    assert dataset_root() == Path.home() / "clips"
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert dataset_root() == Path("datasets")


def test_every_frame_of_every_clip(root: Path) -> None:
    truth = GroundTruth.load(root / "synthetic" / "easy" / "annotations.pkl")
    for part, clips in (("train", 3), ("val", 1), ("test", 2)):
        found = [(d["video_id"], d["frame_index"]) for d in dicts(part)]
        names = [f"{part}/{i:04d}" for i in range(clips)]
        assert found == [(name, frame) for name in names for frame in range(1, 17)]
        selected = MetadataCatalog.get(f"synthetic_easy_{part}").load_ground_truth()
        assert selected.videos.tolist() == names
    boxes = sum(len(d["annotations"]) for part in ("train", "val", "test") for d in dicts(part))
    assert boxes == len(truth.tubes.boxes)
    assert all(Path(d["file_name"]).is_file() for d in dicts())


def test_inclusive_corners_become_exclusive(make_set: MakeSet) -> None:
    boxes = [[3, 4, 12, 15], [0, 0, 63, 47]]
    make_set({"train/a": GREY}, 16, SIZE, [("train/a", 2, 5, boxes)])
    annotated = {d["frame_index"]: d["annotations"] for d in dicts() if d["annotations"]}
    assert list(annotated) == [5, 6]
    assert annotated[5] == [
        {"bbox": [3, 4, 13, 16], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 2}
    ]
    assert annotated[6][0]["bbox"] == [0, 0, 64, 48]


def test_every_tenth_frame_is_a_key_frame(make_set: MakeSet) -> None:
    make_set(
        {"train/a": GREY, "train/b": GREY}, 16, SIZE, [("train/a", 2, 5, [[3, 4, 12, 15]] * 9)]
    )
    files = dataset_files("synthetic/easy")
    dataset = ActionDataset("every_tenth", files, "train", every=10)
    found = [(d["video_id"], d["frame_index"], len(d["annotations"])) for d in dataset.dicts()]
    assert found == [("train/a", 1, 0), ("train/a", 11, 1), ("train/b", 1, 0), ("train/b", 11, 0)]
    # The clip around a key frame is as in the whole set.
    whole = ActionDataset("all", files, "train").dicts()
    assert dataset.dicts()[1] == next(d for d in whole if d["frame_index"] == 11)


def test_training_is_on_frames_with_ground_truth(make_set: MakeSet) -> None:
    make_set({"train/a": GREY}, 16, SIZE, [("train/a", 0, 7, [[1, 1, 9, 9]] * 3)])
    cfg = tiny_config()
    cfg.DATASETS.TRAIN = ("synthetic_easy_train",)
    assert [d["frame_index"] for d in training_dicts(cfg)] == [7, 8, 9]
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    assert len(training_dicts(cfg)) == 16


def test_a_quick_validation_looks_at_few_frames_with_ground_truth(make_set: MakeSet) -> None:
    tubes = [("train/a", 0, 3, [[1, 1, 9, 9]] * 9), ("train/b", 0, 5, [[1, 1, 9, 9]])]
    make_set({"train/a": GREY, "train/b": GREY}, 16, SIZE, tubes)
    cfg = tiny_config()
    assert len(evaluation_dicts(cfg, "synthetic_easy_train")) == 32
    assert evaluated_truth(cfg, "synthetic_easy_train").tubes.lengths.tolist() == [9, 1]
    cfg.TEST.KEY_FRAMES = 3
    found = evaluation_dicts(cfg, "synthetic_easy_train")
    keys = [(d["video_id"], d["frame_index"]) for d in found]
    assert keys == [("train/a", 4), ("train/a", 7), ("train/a", 10), ("train/b", 5)]
    truth = evaluated_truth(cfg, "synthetic_easy_train").tubes
    assert [*zip(truth.videos[truth.video], truth.start, truth.lengths)] == [(*k, 1) for k in keys]


def test_absent_clips_are_counted(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    make_set({"train/a": None, "train/b": GREY, "train/c": None}, 16, SIZE, [])
    assert {d["video_id"] for d in dicts()} == {"train/b"}
    (line,) = warnings_of(caplog)
    assert "2 of 3 videos of synthetic_easy_train are absent" in line
    assert "train/a" in line
    truth = MetadataCatalog.get("synthetic_easy_train").load_ground_truth()
    assert truth.videos.tolist() == ["train/b"]


def test_no_clip_at_all_is_an_error(make_set: MakeSet) -> None:
    folder = make_set({"train/a": None}, 16, SIZE, []) / "synthetic" / "easy" / "videos"
    with pytest.raises(FileNotFoundError, match="none of the 1 videos") as error:
        dicts()
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_annotations_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for name in ("ucf101_24_test", "jhmdb_split1_test", "synthetic_easy_test"):
        with pytest.raises(FileNotFoundError, match=str(tmp_path)) as error:
            DatasetCatalog.get(name)
        assert f"DETECTRON2_DATASETS, which names the folder of all datasets, is {tmp_path}" in str(
            error.value
        )
        assert "\n" not in str(error.value)
    (tmp_path / "jhmdb").mkdir()
    with pytest.raises(FileNotFoundError, match="expected annotations"):
        DatasetCatalog.get("jhmdb_split1_test")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"DETECTRON2_DATASETS.* is not set \(pcsc prepare"):
        DatasetCatalog.get("ucf101_24_test")


def test_unreadable_clip_is_left_out(make_set: MakeSet, caplog: pytest.LogCaptureFixture) -> None:
    root = make_set({"train/a": GREY, "train/b": GREY}, 16, SIZE, [])
    path = root / "synthetic" / "easy" / "videos" / "train" / "a.mp4"
    path.write_bytes(path.read_bytes()[:200])
    assert {d["video_id"] for d in dicts()} == {"train/b"}
    (line,) = warnings_of(caplog)
    assert str(path) in line
    # Its ground truth stays: what cannot be looked at counts as missed.
    truth = MetadataCatalog.get("synthetic_easy_train").load_ground_truth()
    assert truth.videos.tolist() == ["train/a", "train/b"]


def test_annotations_of_frames_that_do_not_exist(
    make_set: MakeSet, caplog: pytest.LogCaptureFixture
) -> None:
    make_set({"train/a": GREY}, 20, SIZE, [("train/a", 0, 15, [[1, 1, 9, 9]] * 6)])
    assert [d["frame_index"] for d in dicts()] == [*range(1, 17)]
    assert sum(len(d["annotations"]) for d in dicts()) == 2
    assert any("20 annotated, 16 there" in line for line in warnings_of(caplog))
    # Published evaluators count the frames that a clip lacks as missed.
    truth = MetadataCatalog.get("synthetic_easy_train").load_ground_truth()
    assert truth.nframes.tolist() == [20]
    assert truth.tubes.lengths.tolist() == [6]


def test_clip_longer_than_its_annotation(make_set: MakeSet) -> None:
    make_set({"train/a": GREY}, 10, SIZE, [])
    assert [d["frame_index"] for d in dicts()] == [*range(1, 11)]
    assert {d["num_frames"] for d in dicts()} == {16}


def test_boxes_are_scaled_to_the_clip(make_set: MakeSet) -> None:
    # Annotated at twice the height and four times the width; 40 of 256 columns are 10 of 64.
    boxes = [[40, 20, 79, 39]]
    make_set({"train/a": GREY}, 16, (96, 256), [("train/a", 0, 1, boxes)])
    first = dicts()[0]
    assert (first["height"], first["width"]) == SIZE
    assert first["annotations"][0]["bbox"] == [10, 10, 20, 20]


def test_video_is_found_whatever_its_suffix(tmp_path: Path) -> None:
    for name in ("a.avi", "b.v2.mp4", "c"):
        (tmp_path / name).mkdir()
    assert find_video(tmp_path, "a") == tmp_path / "a.avi"
    assert find_video(tmp_path, "b.v2") == tmp_path / "b.v2.mp4"
    assert find_video(tmp_path, "c") == tmp_path / "c"
    assert find_video(tmp_path, "b") is None
