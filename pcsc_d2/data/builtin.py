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
from typing import NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.structures import BoxMode

from ..tubes import GroundTruth
from ..video import DecodingRule
from ..video.dataset_files import dataset_files, find_video
from ..video.ground_truth_checks import Findings, fit_to_clips, measure_clips
from .ground_truth import LABELS, read_ground_truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipDataset:
    """A part of a dataset as it is registered.

    Attributes:
        folder: under the dataset root, a name known to ``video.dataset_files``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        split: 1-based.
        every: frames 1, 1 + every, 1 + 2 every, ... of each video are key frames; their clips
            are at stride 1 all the same.
    """

    folder: str
    part: str
    split: int = 1
    every: int = 1

    @property
    def decoding(self) -> DecodingRule:
        """How frames are counted."""
        return dataset_files(self.folder).decoding

    def ground_truth(self) -> GroundTruth:
        """The annotated tubes of the videos that are there."""
        return _present(self, dataset_root()).truth

    def dicts(self) -> list[dict]:
        """Dataset dicts: the key frames of every video that is there.

        Frames without ground truth have no ``annotations``; training leaves them out by
        DATALOADER.FILTER_EMPTY_ANNOTATIONS.
        """
        present = _present(self, dataset_root())
        return [d for i in range(len(present.paths)) for d in _video_dicts(self, present, i)]


class Present(NamedTuple):
    """The videos of a dataset that are there.

    Attributes:
        truth: in the clips' own pixels; frames and tubes as annotated, since published
            evaluators count a frame that a clip lacks as missed.
        paths: of each video.
        num_frames: that each clip really has.
    """

    truth: GroundTruth
    paths: list[Path]
    num_frames: list[int]


def dataset_root() -> Path:
    """The folder that holds all datasets."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()


@functools.lru_cache(maxsize=8)
def _present(dataset: ClipDataset, root: Path) -> Present:
    folder = root / dataset.folder
    wanted = read_ground_truth(root, dataset.folder, dataset.part, dataset.split)
    found = {name: find_video(folder / "videos", name) for name in wanted.videos.tolist()}
    absent = [name for name, path in found.items() if path is None]
    if len(absent) == len(found):
        raise FileNotFoundError(
            f"{folder / 'videos'}: none of the {len(found)} videos of {dataset.part} split "
            f"{dataset.split} is there; see datasets/README.md for the layout"
        )
    if absent:
        counts = f"{len(absent)} of {len(found)} {dataset.part} videos are absent and left out"
        logger.warning("%s: %s (the first is %s)", folder, counts, absent[0])
    findings = Findings()
    paths = {name: path for name, path in found.items() if path is not None}
    clips = measure_clips(paths, dataset.decoding, findings)
    truth = wanted.select(list(paths))
    annotated = dict(zip(truth.videos.tolist(), truth.nframes.tolist()))
    differing = {n: (annotated[n], c.frames) for n, c in clips.items() if c.frames != annotated[n]}
    findings.frame_counts.update(differing)
    findings.log(folder)
    # Frame counts as annotated: only the size of the image is taken from the clips.
    sizes = {name: clip._replace(frames=annotated[name]) for name, clip in clips.items()}
    num_frames = [clips[name].frames if name in clips else 0 for name in paths]
    return Present(fit_to_clips(truth, sizes, Findings()), list(paths.values()), num_frames)


def _video_dicts(dataset: ClipDataset, present: Present, video: int) -> list[dict]:
    truth = present.truth
    height, width = truth.resolution[video].tolist()
    boxes = _boxes_by_frame(truth, video)
    last = min(present.num_frames[video], int(truth.nframes[video]))
    return [
        {
            "file_name": str(present.paths[video]),
            "video_id": str(truth.videos[video]),
            "frame_index": frame,
            "num_frames": present.num_frames[video],
            "decoding": dataset.decoding,
            "flow_key": f"{dataset.folder}/{truth.videos[video]}",
            "height": height,
            "width": width,
            "annotations": boxes.get(frame, []),
        }
        for frame in range(1, last + 1, dataset.every)
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
        thing_classes=list(LABELS[dataset.folder]),
        evaluator_type="tubes",
        load_ground_truth=dataset.ground_truth,
    )


def register_all() -> None:
    """Register all datasets of this module."""
    for part in ("train", "test"):
        register(f"ucf101_24_{part}", ClipDataset("ucf24", part))
        for split in (1, 2, 3):
            register(f"jhmdb_split{split}_{part}", ClipDataset("jhmdb", part, split))
    # The paper's ablation set "mini-UCF-101-24"; it is tested on ucf101_24_test.
    register("ucf101_24_mini_train", ClipDataset("ucf24", "train", every=10))
    for kind in ("easy", "pairs"):
        for part in ("train", "val", "test"):
            register(f"synthetic_{kind}_{part}", ClipDataset(f"synthetic/{kind}", part))
