"""The registered datasets: UCF101-24, J-HMDB and the generated clips.

They are read under Detectron2's dataset root, the environment variable ``DETECTRON2_DATASETS``
("datasets" where it is not set); ``datasets/README.md`` shows the layout. A dataset dict is one
key frame:

===============  ==================================================================
file_name        the video (a file or a folder of frames)
video_id         ``<class>/<name>``
frame_index      the key frame, 1-based
num_frames       of the video
decoding         how its frames are counted, see ``video.decoding``
flow_key         the video's name in the flow store
height, width    of a frame
annotations      ``bbox`` (x1 y1 x2 y2, absolute, ends where the last pixel ends), ``bbox_mode``,
                 ``category_id``
===============  ==================================================================
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.structures import BoxMode

from ..tubes import GroundTruth
from ..video import DecodingRule
from .ground_truth import GROUND_TRUTH, LABELS

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", "")


@dataclass(frozen=True)
class ClipDataset:
    """A part of a dataset as it is registered.

    Attributes:
        folder: under the dataset root, with ``videos/<video_id>.<suffix>``.
        kind: the key of its reader in ``GROUND_TRUTH``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        split: 1-based.
        decoding: how frames are counted.
    """

    folder: str
    kind: str
    part: str
    split: int = 1
    decoding: DecodingRule = "coded"

    def ground_truth(self) -> GroundTruth:
        """The annotated tubes of the videos that are there."""
        return _present(self, dataset_root())[0]

    def dicts(self) -> list[dict]:
        """Dataset dicts: every frame of every video that is there.

        Frames without ground truth have no ``annotations``; training leaves them out by
        DATALOADER.FILTER_EMPTY_ANNOTATIONS.
        """
        ground_truth, paths = _present(self, dataset_root())
        return [
            clip
            for i, path in enumerate(paths)
            for clip in _video_dicts(self, ground_truth, i, path)
        ]


def dataset_root() -> Path:
    """The folder that holds all datasets."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()


@functools.lru_cache(maxsize=8)
def _present(dataset: ClipDataset, root: Path) -> tuple[GroundTruth, list[Path]]:
    """Ground truth of the videos that are there, and where they are; the rest is counted."""
    folder = root / dataset.folder
    wanted = GROUND_TRUTH[dataset.kind](folder, dataset.part, dataset.split)
    paths = {name: find_video(folder / "videos", name) for name in wanted.videos.tolist()}
    there = [name for name, path in paths.items() if path is not None]
    if not there:
        raise FileNotFoundError(
            f"{folder / 'videos'}: none of the {len(paths)} videos of {dataset.part} split "
            f"{dataset.split} is there; see datasets/README.md for the layout"
        )
    if len(there) < len(paths):
        absent = next(name for name, path in paths.items() if path is None)
        logger.warning(
            "%s: %d of %d %s videos are absent and left out (the first is %s)",
            folder,
            len(paths) - len(there),
            len(paths),
            dataset.part,
            absent,
        )
    return wanted.select(there), [paths[name] for name in there]


def find_video(folder: Path, name: str) -> Path | None:
    """The file or folder of frames of a video, whatever its suffix."""
    for suffix in VIDEO_SUFFIXES:
        # with_suffix would cut names that hold a dot.
        path = folder / f"{name}{suffix}"
        if path.exists():
            return path
    return None


def _video_dicts(dataset: ClipDataset, truth: GroundTruth, video: int, path: Path) -> list[dict]:
    num_frames = int(truth.nframes[video])
    height, width = truth.resolution[video].tolist()
    boxes = _boxes_by_frame(truth, video)
    return [
        {
            "file_name": str(path),
            "video_id": str(truth.videos[video]),
            "frame_index": frame,
            "num_frames": num_frames,
            "decoding": dataset.decoding,
            "flow_key": f"{dataset.folder}/{truth.videos[video]}",
            "height": height,
            "width": width,
            "annotations": boxes.get(frame, []),
        }
        for frame in range(1, num_frames + 1)
    ]


def _boxes_by_frame(truth: GroundTruth, video: int) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    tubes = truth.tubes
    for i in np.flatnonzero(tubes.video == video):
        boxes = tubes.boxes[tubes.ptr[i] : tubes.ptr[i + 1]].astype(float)
        boxes[:, 2:] += 1  # files hold the last pixel, Detectron2 where it ends
        for frame, box in enumerate(boxes.tolist(), start=int(tubes.start[i])):
            annotation = {
                "bbox": box,
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": int(tubes.cls[i]),
            }
            found.setdefault(frame, []).append(annotation)
    return found


def training_dicts(cfg: CfgNode) -> list[dict]:
    """The key frames of DATASETS.TRAIN, as Detectron2 collects and filters them."""
    return get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    )


def register(name: str, dataset: ClipDataset) -> None:
    """Register with Detectron2's catalogs."""
    DatasetCatalog.register(name, dataset.dicts)
    MetadataCatalog.get(name).set(
        thing_classes=list(LABELS[dataset.kind]),
        evaluator_type="tubes",
        load_ground_truth=dataset.ground_truth,
    )


def register_all() -> None:
    """Register all datasets of this module."""
    for part in ("train", "test"):
        ucf = ClipDataset("ucf24", "ucf101_24", part, decoding="constant_rate")
        register(f"ucf101_24_{part}", ucf)
        for split in (1, 2, 3):
            register(f"jhmdb_split{split}_{part}", ClipDataset("jhmdb", "jhmdb", part, split))
    for kind in ("easy", "pairs"):
        for part in ("train", "val", "test"):
            dataset = ClipDataset(f"synthetic/{kind}", f"synthetic_{kind}", part)
            register(f"synthetic_{kind}_{part}", dataset)
