"""Running the frozen detector over videos and keeping what the actionness head learns from."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import detector_postprocess
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import nn
from torch.utils.data import SequentialSampler

from pcsc_d2.config import changed
from pcsc_d2.data import evaluation_dicts, evaluation_loader
from pcsc_d2.engine.actionness.samples import VideoSamples
from pcsc_d2.engine.features import build_mapper, precompute_maps
from pcsc_d2.evaluation import detection_arrays, link_options
from pcsc_d2.modeling.actionness_head import BOTH, pool_rois
from pcsc_d2.modeling.two_stream_rcnn import Pyramids
from pcsc_d2.parallel import all_gather, wait_for_all
from pcsc_d2.tubes import Detections, GroundTruth, truth_overlaps
from pcsc_d2.tubes.detections import detection_order
from pcsc_d2.tubes.linking.offline import link_side_by_side
from pcsc_d2.tubes.linking.online import filter_detections
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.progress import progress_bar

logger = logging.getLogger(__name__)

FrameArrays = tuple[np.ndarray, ...]


class Limit(NamedTuple):
    """How much of a dataset is collected.

    Attributes:
        videos: at most; 0 for all.
        disk_bytes: how much all ranks together may write; once a rank has written its part it
            leaves the other videos out.
    """

    videos: int = 0
    disk_bytes: float = math.inf

    @classmethod
    def of(cls, cfg: CfgNode, datasets: int = 1) -> Limit:
        """Each of some training datasets' share of ``SOLVER.ACTIONNESS``."""
        node = cfg.SOLVER.ACTIONNESS
        return cls(-(-node.VIDEOS // datasets), (node.DISK_MB << 20) / datasets)


def collect(
    cfg: CfgNode,
    model: nn.Module,
    dataset: str,
    folder: Path,
    kinds: Sequence[str],
    limit: Limit | None = None,
    keep_detections: bool = False,
) -> list[Path]:
    """Write a ``VideoSamples`` file for every video of a dataset (Section 3.4).

    The detector runs over all frames of a video, its detections are linked per class as at test
    time, every box of a tube is held against the ground truth, and its ROI features are kept. Ranks
    share the videos. A file that is there already is not made again, so that an interrupted run
    goes on where it stopped.

    Args:
        model: the detector, in evaluation mode.
        dataset: its registered name.
        folder: where the files go, one a video, numbered as in the ground truth.
        kinds: of features, see ``modeling.actionness_head.FEATURES``.
        limit: None for none.
        keep_detections: keep all detections too, so that they can be linked in other ways.

    Returns:
        The files of all ranks, in the order of the videos.

    Raises:
        ValueError: the folder holds what another detector or another config collected.
    """
    cfg, limit = _whole_videos(cfg), limit or Limit()
    truth = MetadataCatalog.get(dataset).load_ground_truth()
    # Whatever the seed is, so that all seeds look at the same maps.
    chosen = set(_mixed_order(truth, 0)[: limit.videos or None])
    clips = _clips_by_video(cfg, dataset, chosen, truth)
    precompute_maps(cfg, list(itertools.chain.from_iterable(clips.values())), dataset)
    kept = {"kinds": list(kinds), "detections": keep_detections}
    kept["pooled"] = cfg.MODEL.ACTIONNESS.POOLED
    _claim(folder, kept | {"made_by": _fingerprint(cfg, model, truth)})
    order = [video for video in _mixed_order(truth, cfg.SEED) if video in chosen]
    order = order[comm.get_rank() :: comm.get_world_size()]
    done = {video: _file(folder, video) for video in order if _file(folder, video).exists()}
    used = sum(path.stat().st_size for path in done.values())
    job = _Collection(cfg, model, truth, folder, kinds, keep_detections)
    left = {video: clips[video] for video in order if video not in done}
    mine = job.run(dataset, left, limit.disk_bytes / comm.get_world_size() - used)
    left_out = sum(all_gather(mine))
    if left_out:
        share = f"{dataset}: {left_out} of {len(chosen)} videos left out"
        logger.warning("%s, as SOLVER.ACTIONNESS.DISK_MB is used up", share)
    wait_for_all()
    return [path for video in sorted(chosen) if (path := _file(folder, video)).exists()]


def truth_of(dataset: str, files: list[Path]) -> GroundTruth:
    """Ground truth of the videos that were collected, in the order of their files."""
    truth = MetadataCatalog.get(dataset).load_ground_truth()
    return truth.select(truth.videos[[int(path.stem) for path in files]])


class _Collection:
    """One rank's part of a collection."""

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        truth: GroundTruth,
        folder: Path,
        kinds: Sequence[str],
        keep_detections: bool,
    ) -> None:
        self._cfg = cfg
        self._model = model
        self._truth = truth
        self._folder = folder
        self._kinds = kinds
        self._keep_detections = keep_detections
        self._link_options = link_options(cfg)

    def run(self, dataset: str, clips: dict[int, list[dict]], limit: float) -> int:
        """Collect videos until ``limit`` bytes are written; the number of those left out."""
        left = len(clips)
        if limit <= 0:
            return left
        batches = self._batches(dataset, list(itertools.chain.from_iterable(clips.values())))
        for video, of_video in self._by_video(list(clips), batches):
            limit -= self._collect_video(video, of_video)
            left -= 1
            if limit <= 0:
                break
        return left

    def _batches(self, dataset: str, dicts: list[dict]) -> Iterator[list[dict]]:
        """Model inputs of clips that can be read, video by video."""
        if not dicts:
            return
        mapper = build_mapper(self._cfg, is_train=False)
        # All of them: this rank has its own videos already.
        loader = evaluation_loader(self._cfg, dicts, mapper, dataset, SequentialSampler(dicts))
        show = comm.is_main_process()
        with progress_bar(len(dicts), f"detecting {dataset}", "frame", show) as bar:
            for batch in loader:
                yield batch
                bar.update(len(batch))

    def _by_video(
        self, videos: list[int], batches: Iterator[list[dict]]
    ) -> Iterator[tuple[int, Iterator[list[dict]]]]:
        """Each video with its batches; none where no clip of it can be read."""
        groups = itertools.groupby(batches, key=lambda batch: batch[0]["video_id"])
        name, of_video = next(groups, (None, iter(())))
        for video in videos:
            if name == self._truth.videos[video]:
                yield video, of_video
                name, of_video = next(groups, (None, iter(())))
            else:
                yield video, iter(())

    def _collect_video(self, video: int, batches: Iterator[list[dict]]) -> int:
        """Detect, link and write one video; the bytes written."""
        linked: dict[tuple[str, int], FrameArrays] = {}
        everything: dict[tuple[str, int], FrameArrays] = {}
        features: dict[str, list[np.ndarray]] = {kind: [] for kind in self._kinds}
        for batch in batches:
            found, rois = self._detect(batch)
            for clip, (arrays, kept) in zip(batch, found):
                key = (clip["video_id"], clip["frame_index"])
                everything[key] = arrays
                linked[key] = tuple(a[kept] for a in arrays)
            for kind in self._kinds:
                features[kind].append(rois[kind])
        truth = self._truth.select([str(self._truth.videos[video])])
        samples, rows = self._link(truth, linked)
        path = _file(self._folder, video)
        kept = {k: np.concatenate(v)[rows] for k, v in features.items() if v}
        samples.save(path, kept, _gather(truth, everything) if self._keep_detections else None)
        return path.stat().st_size

    def _link(
        self, truth: GroundTruth, frames: dict[tuple[str, int], FrameArrays]
    ) -> tuple[VideoSamples, np.ndarray]:
        """The samples of a video, and the detections (K,) whose features they need."""
        options = replace(self._link_options, interpolate=False)
        tubes, source = link_side_by_side(_gather(truth, frames), options)
        rows, inverse = np.unique(source, return_inverse=True)
        # A gap is filled with copies of the next found box, so that the last of equals is found.
        found = np.append(source[1:] != source[:-1], True)[: len(source)]
        overlaps = truth_overlaps(tubes, truth)
        return VideoSamples(tubes, inverse.reshape(-1), found, overlaps), rows

    @torch.no_grad()
    def _detect(
        self, batch: list[dict]
    ) -> tuple[list[tuple[FrameArrays, np.ndarray]], dict[str, np.ndarray]]:
        """Detect in key frames.

        Returns:
            For each key frame boxes, scores and classes of all detections, and positions (K_i,) of
            those that linking looks at, in the order of ``Detections``; and by kind the ROI
            features (K, C, S, S) float16 of these, one key frame after the other, or their means
            over the grid (K, C, 1, 1).
        """
        images, pyramids = self._model.extract_features(batch)
        sizes = images["rgb"].image_sizes
        found, proposals = [], []
        for clip, size, detections in zip(batch, sizes, self._model.detect(images, pyramids)[-1]):
            instances = detector_postprocess(detections, clip["height"], clip["width"])
            arrays = detection_arrays(instances)[:3]
            kept = filter_detections(*arrays, self._link_options)
            kept = kept[detection_order(*(a[kept] for a in arrays))]
            found.append((arrays, kept))
            proposals.append(_in_clip(instances, kept, size))
        return found, {kind: self._features(pyramids, proposals, kind) for kind in self._kinds}

    def _features(self, pyramids: Pyramids, proposals: list[Instances], kind: str) -> np.ndarray:
        rois = self._model.roi_heads.actionness_features(pyramids, proposals, kind)
        # Temporal cooperation looks at vectors.
        if self._cfg.MODEL.ACTIONNESS.POOLED or kind == BOTH:
            rois = pool_rois(rois)
        return rois.half().cpu().numpy()


def _in_clip(instances: Instances, kept: np.ndarray, size: tuple[int, int]) -> Instances:
    """Some of a key frame's detections as proposals in its clip of (height, width)."""
    boxes = Boxes(instances.pred_boxes.tensor[torch.as_tensor(kept)].clone())
    boxes.scale(size[1] / instances.image_size[1], size[0] / instances.image_size[0])
    return Instances(size, proposal_boxes=boxes)


def _gather(truth: GroundTruth, frames: dict[tuple[str, int], FrameArrays]) -> Detections:
    return Detections.from_frames(truth.videos, truth.labels, truth.nframes, frames)


def _whole_videos(cfg: CfgNode) -> CfgNode:
    """The config that looks at every frame, where a quick validation looks at some."""
    return changed(cfg, {"TEST.KEY_FRAMES": 0})


def _clips_by_video(
    cfg: CfgNode, dataset: str, videos: set[int], truth: GroundTruth
) -> dict[int, list[dict]]:
    """Dataset dicts of the key frames of some videos."""
    number = {name: i for i, name in enumerate(truth.videos.tolist()) if i in videos}
    clips: dict[int, list[dict]] = {video: [] for video in sorted(videos)}
    for d in evaluation_dicts(cfg, dataset):
        if d["video_id"] in number:
            clips[number[d["video_id"]]].append(d)
    return clips


def _file(folder: Path, video: int) -> Path:
    return folder / f"{video:06d}.npz"


def _mixed_order(truth: GroundTruth, seed: int) -> list[int]:
    """The videos in random order, the classes in turn, so that any first part is balanced."""
    generator = np.random.default_rng(abs(seed))
    shuffled = generator.permutation(len(truth.videos))
    first_class = np.full(len(truth.videos), -1)
    first_class[truth.tubes.video[::-1]] = truth.tubes.classes[::-1]
    turn = np.zeros(len(truth.videos), np.int64)
    for cls in np.unique(first_class):
        members = shuffled[first_class[shuffled] == cls]
        turn[members] = np.arange(len(members))
    return shuffled[np.argsort(turn[shuffled], kind="stable")].tolist()


def _claim(folder: Path, who: dict[str, object]) -> None:
    """Note in the folder who collects what; ValueError if another note is there."""
    note = json.dumps(who)
    path = folder / "collection.json"
    if comm.is_main_process():
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with atomic_write(path, "w") as file:
                file.write(note)
    wait_for_all()
    if path.read_text(encoding="utf-8") != note:
        raise ValueError(
            f"{folder}: holds features of another detector, kind, config, ground truth or version; "
            "remove it or choose another folder"
        )


def _fingerprint(cfg: CfgNode, model: nn.Module, truth: GroundTruth) -> str:
    """Of all that what is collected depends on."""
    cfg = cfg.clone()
    cfg.defrost()
    for key in ("ACTIONNESS", "SEGMENTS", "DEVICE", "WEIGHTS"):
        cfg.MODEL.pop(key)
    parts = (cfg.MODEL, cfg.INPUT, link_options(cfg), cfg.TEST.DETECTIONS_PER_IMAGE)
    parts += (truth.videos.tolist(), truth.labels)
    digest = hashlib.sha256("\n".join(map(str, parts)).encode())
    for key, value in model.state_dict().items():
        if not key.startswith(("roi_heads.actionness_head.", "roi_heads.segments.")):
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    tubes = truth.tubes
    for array in (tubes.video, tubes.classes, tubes.start, tubes.ptr, tubes.boxes):
        digest.update(array.tobytes())
    return digest.hexdigest()
