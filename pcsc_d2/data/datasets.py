"""What a dataset of actions is to Detectron2's catalogs.

A dataset dict is one
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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.structures import BoxMode

from pcsc_d2.config import uses_cached_features
from pcsc_d2.datasets.layout import DatasetFiles
from pcsc_d2.datasets.repair import AnnotationIssues, fit_to_clips, locate_clips
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.boxes import to_exclusive
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.text import one_line
from pcsc_d2.video import DecodingRule

logger = logging.getLogger(__name__)

_ROOT = "DETECTRON2_DATASETS"


@dataclass(frozen=True, eq=False)
class ActionDataset:
    """A part of a dataset as it is registered.

    Attributes:
        name: as registered.
        files: of the dataset.
        part: see ``DatasetFiles.select``; None for all of it.
        split: 1-based.
        every: frames 1, 1 + every, 1 + 2 every, ... of each video are key frames; their clips
            are at stride 1 all the same.
        root: of all datasets; None for Detectron2's at the time of use.
    """

    name: str
    files: DatasetFiles
    part: str | None
    split: int = 1
    every: int = 1
    root: Path | None = None

    def annotated(self) -> GroundTruth:
        """The annotated videos, there or not.

        Raises:
            FileNotFoundError: the dataset's folder or its annotations are not there.
        """
        root, issues = self.root or dataset_root(), AnnotationIssues()
        folder = root / self.files.name
        # A dataset that one call registered has its files elsewhere.
        if self.files.videos(root).is_relative_to(folder) and not folder.is_dir():
            raise FileNotFoundError(_no_folder(self.name, folder))
        truth = self.files.ground_truth(root, issues)
        self.files.log(issues, root)
        if self.part is not None:
            truth = self.files.select(truth, self.part, self.split)
        if not self.files.labels:
            MetadataCatalog.get(self.name).thing_classes = list(truth.labels)
        return truth

    def ground_truth(self) -> GroundTruth:
        """The annotated tubes of the videos that are there."""
        return self.available().truth

    def available(self) -> AvailableVideos:
        """The videos that are there, measured once."""
        return _available(self, self.files.videos(self.root or dataset_root()))

    def dicts(self) -> list[dict]:
        """Dataset dicts: the key frames of every video that is there.

        Frames without ground truth have no ``annotations``; training leaves them out by
        DATALOADER.FILTER_EMPTY_ANNOTATIONS.
        """
        available = self.available()
        return [d for i in range(len(available.paths)) for d in _video_dicts(self, available, i)]

    def count(self, filter_empty: bool) -> int:
        """The number of dataset dicts, or of those with annotations, without making them."""
        truth, there = self.available().truth, self.available().num_frames
        last = np.minimum(there, truth.nframes)
        if not filter_empty:
            return int((-(-last // self.every)).sum())
        video = truth.tubes.video[truth.tubes.box_tubes]
        frame = truth.tubes.box_frames
        seen = (frame <= last[video]) & ((frame - 1) % self.every == 0)
        return len(np.unique(np.stack([video, frame])[:, seen], axis=1).T)

    def flow_videos(self) -> list[tuple[str, str]]:
        """Flow key and path of every video that can be read."""
        available = self.available()
        keys = [f"{self.files.name}/{name}" for name in available.truth.videos.tolist()]
        found = zip(keys, available.paths, available.num_frames)
        return [(key, str(path)) for key, path, frames in found if frames]


class AvailableVideos(NamedTuple):
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
    return Path(os.environ.get(_ROOT, "datasets")).expanduser()


def dataset_cache(kind: str) -> Path:
    """``<root>/<kind>``, or where that cannot be written PCSC_CACHE or the user's cache folder."""
    root = dataset_root()
    if "PCSC_CACHE" not in os.environ and os.access(root, os.W_OK):
        return root / kind
    return cache_folder(kind)


def _no_folder(name: str, folder: Path) -> str:
    """What to do about a dataset whose folder is not there, in one line."""
    state = "is not set" if _ROOT not in os.environ else f"is {os.environ[_ROOT]}"
    how = "generate" if name.startswith("synthetic") else "prepare"
    return (
        f"{name}: there is no folder {folder.absolute()}; {_ROOT}, which names the folder of all "
        f"datasets, {state} (pcsc {how} --help: how to get the data)"
    )


@functools.lru_cache(maxsize=8)
def _available(dataset: ActionDataset, folder: Path) -> AvailableVideos:
    annotated, issues = dataset.annotated(), AnnotationIssues()
    names = annotated.videos.tolist()
    found = locate_clips(folder, names, dataset.files.decoding, issues)
    if not found.paths:
        raise FileNotFoundError(
            f"{folder}: none of the {len(names)} videos of {dataset.name} is there; see "
            "datasets/README.md for the layout"
        )
    if found.absent:
        count = f"{len(found.absent)} of {len(names)} videos of {dataset.name}"
        first = found.absent[0]
        logger.warning("%s: %s are absent and left out (the first is %s)", folder, count, first)
    truth, clips = annotated.select(list(found.paths)), found.clips
    nframes = dict(zip(truth.videos.tolist(), truth.nframes.tolist()))
    differing = {n: (nframes[n], c.frames) for n, c in clips.items() if c.frames != nframes[n]}
    issues.frame_counts.update(differing)
    issues.log(folder)
    # Frame counts as annotated: only the size of the image is taken from the clips.
    sizes = {name: clip._replace(frames=nframes[name]) for name, clip in clips.items()}
    num_frames = [clips[name].frames if name in clips else 0 for name in found.paths]
    fitted = fit_to_clips(truth, sizes, AnnotationIssues())
    return AvailableVideos(fitted, list(found.paths.values()), num_frames)


def _video_dicts(dataset: ActionDataset, available: AvailableVideos, video: int) -> list[dict]:
    truth = available.truth
    height, width = truth.resolution[video].tolist()
    boxes = _boxes_by_frame(truth, video)
    last = min(available.num_frames[video], int(truth.nframes[video]))
    return [
        {
            "file_name": str(available.paths[video]),
            "video_id": str(truth.videos[video]),
            "frame_index": frame,
            "num_frames": available.num_frames[video],
            "decoding": dataset.files.decoding,
            "flow_key": f"{dataset.files.name}/{truth.videos[video]}",
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
        boxes = to_exclusive(tubes.boxes[tubes.ptr[i] : tubes.ptr[i + 1]].astype(float))
        for frame, box in enumerate(boxes.tolist(), start=int(tubes.start[i])):
            annotation = {
                "bbox": box,
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": int(tubes.classes[i]),
            }
            found.setdefault(frame, []).append(annotation)
    return found


def training_dicts(cfg: CfgNode) -> list[dict]:
    """The key frames that are trained on: all of DATASETS.TRAIN, or those with cached maps."""
    dicts = annotated_dicts(cfg)
    if uses_cached_features(cfg) and cfg.INPUT.FEATURES.KEY_FRAMES > 0:
        return spread_key_frames(dicts, cfg.INPUT.FEATURES.KEY_FRAMES)
    return dicts


def annotated_dicts(cfg: CfgNode) -> list[dict]:
    """The key frames of DATASETS.TRAIN, as Detectron2 collects and filters them."""
    if not cfg.DATASETS.TRAIN:
        raise ValueError("DATASETS.TRAIN is empty: name the datasets to train on")
    return _dicts(cfg.DATASETS.TRAIN, cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)


def evaluation_dicts(cfg: CfgNode, name: str) -> list[dict]:
    """The key frames of a dataset that evaluation looks at: all, or so many with ground truth."""
    number = cfg.TEST.KEY_FRAMES
    dicts = _dicts((name,), number > 0)
    return spread_key_frames(dicts, number) if number > 0 else dicts


def evaluated_truth(cfg: CfgNode, name: str) -> GroundTruth:
    """Ground truth of the key frames of a dataset that evaluation looks at."""
    truth = MetadataCatalog.get(name).load_ground_truth()
    if cfg.TEST.KEY_FRAMES == 0:
        return truth
    return truth.at_frames((d["video_id"], d["frame_index"]) for d in evaluation_dicts(cfg, name))


def _dicts(names: Sequence[str], filter_empty: bool) -> list[dict]:
    """Detectron2's dicts of some datasets; ValueError where not one is left."""
    try:
        return get_detection_dataset_dicts(names, filter_empty=filter_empty)
    except AssertionError as error:
        boxes = " with ground truth" if filter_empty else ""
        reason = f"not one key frame{boxes} is there"
        raise ValueError(f"{', '.join(names)}: {reason} ({one_line(error)})") from error


def spread_key_frames(dicts: list[dict], number: int) -> list[dict]:
    """So many key frames of each video, in the middles of equal parts of it."""
    videos: dict[str, list[dict]] = {}
    for d in dicts:
        videos.setdefault(d["flow_key"], []).append(d)
    return [
        of_video[int((i + 0.5) * len(of_video) / number)] if len(of_video) > number else of_video[i]
        for of_video in videos.values()
        for i in range(min(number, len(of_video)))
    ]


def count_training_dicts(cfg: CfgNode) -> int:
    """The length of ``training_dicts``; hundreds of thousands of dicts are not made for it."""
    if uses_cached_features(cfg):
        return len(training_dicts(cfg))
    registered = [MetadataCatalog.get(name).get("clips") for name in cfg.DATASETS.TRAIN]
    if None in registered:
        return len(training_dicts(cfg))
    return sum(d.count(cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS) for d in registered)


def flow_videos(names: Iterable[str]) -> dict[DecodingRule, dict[str, str]]:
    """Decoding rule -> flow key -> path of the videos of registered datasets."""
    found: dict[DecodingRule, dict[str, str]] = {}
    for name in dict.fromkeys(names):
        clips: ActionDataset | None = MetadataCatalog.get(name).get("clips")
        if clips is not None:
            found.setdefault(clips.files.decoding, {}).update(clips.flow_videos())
            continue
        for clip in DatasetCatalog.get(name):
            missing = {"decoding", "flow_key", "file_name"} - clip.keys()
            if missing:
                raise ValueError(
                    f"dataset '{name}' is not of clips: what it holds has no {min(missing)}"
                )
            found.setdefault(clip["decoding"], {})[clip["flow_key"]] = clip["file_name"]
    return found


def register_dataset(dataset: ActionDataset) -> None:
    """Register with Detectron2's catalogs; class names that are not known come when it is read."""
    DatasetCatalog.register(dataset.name, dataset.dicts)
    metadata = MetadataCatalog.get(dataset.name)
    metadata.set(evaluator_type="tubes", load_ground_truth=dataset.ground_truth, clips=dataset)
    if dataset.files.labels:
        metadata.thing_classes = list(dataset.files.labels)
