"""A clip in, the detections of its key frame out, as evaluation has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from pcsc_d2.data import training_dicts
from pcsc_d2.engine import ClipPredictor, Trainer
from pcsc_d2.video import VideoError, read_frames
from tests.tiny import tiny_config


@pytest.fixture
def cfg(tmp_path: Path, root: Path) -> CfgNode:
    cfg = tiny_config(["INPUT.CLIP_LENGTH", 8, "MODEL.WEIGHTS", str(tmp_path / "model.pth")])
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("synthetic_easy_train",)
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, cfg.MODEL.WEIGHTS)
    return cfg


def test_key_frames_of_a_video_are_seen_as_in_evaluation(cfg: CfgNode) -> None:
    predictor = ClipPredictor(cfg)
    assert "red-sway" in predictor.metadata.thing_classes
    (clip, *_), *_ = batches = list(Trainer.build_test_loader(cfg, cfg.DATASETS.TEST[0]))
    of_video = [x for batch in batches for x in batch if x["video_id"] == clip["video_id"]]
    frames = read_frames(clip["file_name"], range(len(of_video)), clip["decoding"])
    # At its beginning, in its middle and at its end.
    for number in (1, len(of_video) // 2, len(of_video)):
        with torch.no_grad():
            expected = predictor.model([of_video[number - 1]])[0]["instances"]
        for found in (
            predictor.at(clip["file_name"], number, clip["decoding"]),
            predictor(frames, key=number - 1),
        ):
            instances = found["instances"]
            assert instances.image_size == (48, 64)
            assert len(instances) == len(expected) > 0
            assert torch.equal(instances.pred_boxes.tensor, expected.pred_boxes.tensor)
            assert torch.equal(instances.scores, expected.scores)


def test_the_key_frame_of_a_clip_is_in_its_middle(cfg: CfgNode) -> None:
    predictor = ClipPredictor(cfg)
    frames = read_frames(training_dicts(cfg)[0]["file_name"], range(8), "coded")
    one, other = (predictor(list(frames), *key)["instances"] for key in ((), (4,)))
    assert torch.equal(one.scores, other.scores)
    assert len(predictor(frames[:1])["instances"]) > 0


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "no frames"),
        ([np.zeros((48, 64, 3), np.float32)], "frame 0 is float32"),
        ([np.zeros((48, 64), np.uint8)], r"frame 0 is uint8 \(48, 64\)"),
        ([np.zeros((48, h, 3), np.uint8) for h in (64, 66)], "frame 1 is of another size"),
    ],
)
def test_what_is_no_clip(cfg: CfgNode, frames: list[np.ndarray], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ClipPredictor(cfg)(frames)


def test_videos_and_frames_that_are_not_there(cfg: CfgNode) -> None:
    predictor = ClipPredictor(cfg)
    with pytest.raises(VideoError, match=r"absent\.mp4"):
        predictor.at("absent.mp4", 1)
    video = training_dicts(cfg)[0]["file_name"]
    with pytest.raises(ValueError, match="key frame 99 is not in a video of 16 frames"):
        predictor.at(video, 99)
    with pytest.raises(ValueError, match="key frame 9 is not in a video of 4 frames"):
        predictor(np.zeros((4, 48, 64, 3), np.uint8), key=8)
