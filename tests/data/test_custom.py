"""One's own videos as registered datasets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pcsc_d2.data import (
    check_datasets,
    count_training_dicts,
    register_action_dataset,
    register_custom_datasets,
    training_dicts,
)
from pcsc_d2.video import write_video
from tests.tiny import tiny_config

CSV = """video,frame,track,label,x1,y1,x2,y2
a,2,1,run,3,4,13,16
a,3,1,run,3,4,13,16
b,1,1,jump,0,0,64,48
b,1,2,run,0,0,9,9
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two videos of 6 frames and their boxes; what is registered meanwhile is forgotten."""
    folder = tmp_path / "mine"
    (folder / "videos").mkdir(parents=True)
    for name in "ab":
        write_video(folder / "videos" / f"{name}.mp4", np.full((6, 48, 64, 3), 99, np.uint8))
    (folder / "annotations.csv").write_text(CSV)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    before = set(DatasetCatalog.list())
    yield folder
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_one_call_registers(own: Path) -> None:
    register_action_dataset("mine", own / "videos", own / "annotations.csv")
    dicts = DatasetCatalog.get("mine")
    assert [(d["video_id"], d["frame_index"]) for d in dicts] == [
        (name, frame) for name in "ab" for frame in range(1, 7)
    ]
    assert dicts[1]["annotations"] == [{"bbox": [3, 4, 13, 16], "bbox_mode": 0, "category_id": 1}]
    assert dicts[1]["flow_key"] == "mine/a"
    assert dicts[1]["num_frames"] == 6
    metadata = MetadataCatalog.get("mine")
    assert metadata.thing_classes == ["jump", "run"]
    assert metadata.load_ground_truth().videos.tolist() == ["a", "b"]
    register_action_dataset(
        "part", own / "videos", [own / "annotations.csv"], only=["b"], labels=["run", "jump"]
    )
    assert MetadataCatalog.get("part").thing_classes == ["run", "jump"]
    assert {d["video_id"] for d in DatasetCatalog.get("part")} == {"b"}
    with pytest.raises(ValueError, match="first_frame 7"):
        register_action_dataset("bad", own / "videos", own / "annotations.csv", first_frame=7)


def test_description_registers_its_splits(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    (own / "dataset.json").write_text(json.dumps({"splits": {"fit": ["a"], "try": ["b"]}}))
    (own.parent / "broken").mkdir()
    (own.parent / "broken" / "dataset.json").write_text("{")
    assert register_custom_datasets() == ["mine_fit", "mine_try"]
    assert register_custom_datasets() == []
    assert "broken/dataset.json" in caplog.records[0].getMessage()
    assert {d["video_id"] for d in DatasetCatalog.get("mine_fit")} == {"a"}
    assert DatasetCatalog.get("mine_try")[0]["flow_key"] == "mine/b"


def test_several_actions_to_a_box_are_refused_where_they_are_trained(own: Path) -> None:
    (own / "annotations.csv").write_text(CSV + "a,2,2,jump,3,4,13,16\n")
    register_action_dataset("mine", own / "videos", own / "annotations.csv")
    cfg = tiny_config(["DATASETS.TRAIN", (), "DATASETS.TEST", ("mine",)])
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    check_datasets(cfg)
    cfg.DATASETS.TRAIN = ("mine",)
    with pytest.raises(ValueError, match=r"one box has several actions \(jump and run; a, frame 2"):
        check_datasets(cfg)


def test_wrong_names_and_numbers_of_classes_are_said_before_training(own: Path) -> None:
    register_action_dataset("mine", own / "videos", own / "annotations.csv")
    cfg = tiny_config(["DATASETS.TRAIN", ("mine",), "DATASETS.TEST", ()])
    with pytest.raises(ValueError, match=r"'mine' has 2 classes \(jump, run .*NUM_CLASSES 2"):
        check_datasets(cfg)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    check_datasets(cfg)
    cfg.DATASETS.TEST = ("mien",)
    with pytest.raises(ValueError, match="'mien' is not registered"):
        check_datasets(cfg)


@pytest.mark.parametrize("filter_empty", [True, False])
def test_key_frames_are_counted_without_dicts(own: Path, filter_empty: bool) -> None:
    register_action_dataset("mine", own / "videos", own / "annotations.csv")
    cfg = tiny_config(["DATALOADER.FILTER_EMPTY_ANNOTATIONS", filter_empty])
    cfg.DATASETS.TRAIN = ("mine",)
    expected = 3 if filter_empty else 12
    assert count_training_dicts(cfg) == len(training_dicts(cfg)) == expected
    cfg.DATASETS.TRAIN = ("mine", "mine")
    assert count_training_dicts(cfg) == 2 * expected
