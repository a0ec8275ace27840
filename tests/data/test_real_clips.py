"""Real UCF101-24 and J-HMDB clips through the loader; skipped where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from pcsc_d2.data import ClipMapper
from pcsc_d2.video import VideoSource
from tests.tiny import tiny_config


@pytest.fixture
def real_root(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(real_data))
    return real_data


@pytest.mark.parametrize(
    ("name", "videos"), [("ucf101_24_train", 45), ("ucf101_24_test", 24), ("jhmdb_split1_test", 42)]
)
def test_real_clips_load(name: str, videos: int, real_root: Path) -> None:
    dicts = DatasetCatalog.get(name)
    metadata = MetadataCatalog.get(name)
    truth = metadata.load_ground_truth()
    assert list(truth.labels) == metadata.thing_classes
    assert len(truth.videos) == len({d["video_id"] for d in dicts}) == videos
    assert len(dicts) == truth.nframes.sum()
    annotations = [(d, a) for d in dicts for a in d["annotations"]]
    assert len(annotations) == len(truth.tubes.boxes) > 1000
    for clip, annotation in annotations:
        x1, y1, x2, y2 = annotation["bbox"]
        assert 0 <= x1 < x2 <= clip["width"]
        assert 0 <= y1 < y2 <= clip["height"]
        # A class is the name of the folder.
        assert metadata.thing_classes[annotation["category_id"]] == clip["video_id"].split("/")[0]


def test_clips_with_dropped_frames_have_the_annotated_number(real_root: Path) -> None:
    counts = {}
    for clip in DatasetCatalog.get("ucf101_24_train"):
        counts[clip["video_id"]] = (clip["file_name"], clip["num_frames"])
    path, frames = counts["Basketball/v_Basketball_g18_c03"]
    assert len(VideoSource(path, "coded")) < frames
    truth = MetadataCatalog.get("ucf101_24_train").load_ground_truth()
    annotated = dict(zip(truth.videos.tolist(), truth.nframes.tolist()))
    assert {name: n for name, (_, n) in counts.items()} == annotated


def test_mini_set_has_a_tenth_of_the_key_frames(real_root: Path) -> None:
    whole = {(d["video_id"], d["frame_index"]): d for d in DatasetCatalog.get("ucf101_24_train")}
    mini = DatasetCatalog.get("ucf101_24_mini_train")
    assert all(whole[d["video_id"], d["frame_index"]] == d for d in mini)
    assert {d["video_id"] for d in mini} == {video for video, _ in whole}
    assert {d["frame_index"] % 10 for d in mini} == {1}
    assert len(mini) == sum(frame % 10 == 1 for _, frame in whole)


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("ucf101_24_train", "Basketball/v_Basketball_g18_c03"),
        ("ucf101_24_train", None),
        ("jhmdb_split1_test", None),
    ],
)
def test_model_input_of_real_clips(name: str, video: str | None, real_root: Path) -> None:
    found = [d for d in DatasetCatalog.get(name) if video in (None, d["video_id"])]
    annotated = [d for d in found if d["annotations"]]
    # The very last frame: a clip that misses some cannot give it by the wrong rule.
    clips = [found[-1], annotated[len(annotated) // 2]]
    cfg = tiny_config(["INPUT.FLOW.CACHE", "none", "INPUT.MIN_SIZE_TEST", 120])
    test, train = ClipMapper(cfg, is_train=False), ClipMapper(cfg, is_train=True)
    for clip in clips:
        example = test(clip)
        assert example["rgb"].shape == (3, 8, 120, 160)
        assert example["flow"].shape == (2, 8, 120, 160)
        assert example["rgb"].float().std() > 10
        assert torch.isfinite(example["flow"]).all()
    example = train(clips[1])
    boxes = example["instances"].gt_boxes
    height, width = example["instances"].image_size
    assert len(boxes) == len(clips[1]["annotations"])
    assert (boxes.tensor >= 0).all()
    assert (boxes.tensor[:, 2:] <= torch.tensor([width, height])).all()
    assert example["flow"].abs().mean() > 0
