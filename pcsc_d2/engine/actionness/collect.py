"""Running the frozen detector over videos and keeping what the actionness head learns from."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import nn
from torch.utils.data import SequentialSampler
from tqdm import tqdm

from pcsc_d2.data import ClipMapper
from pcsc_d2.engine.actionness.samples import VideoSamples
from pcsc_d2.evaluation import detection_arrays, link_options
from pcsc_d2.tubes import Detections, GroundTruth, label_boxes, link
from pcsc_d2.tubes.linking.online import filter_detections
from pcsc_d2.utils.files import atomic_write

logger = logging.getLogger(__name__)

FrameArrays = tuple[np.ndarray, ...]
NOTHING = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))


def collect(
    cfg: CfgNode,
    model: nn.Module,
    dataset: str,
    folder: Path,
    kinds: Sequence[str],
    disk_bytes: int | None = None,
    keep_detections: bool = False,
) -> list[Path]:
    """Write a ``VideoSamples`` file for every video of a dataset (Section 3.4).

    The detector runs over all frames of a video, its detections are linked per class as at test
    time, and every box of a tube gets its label and its ROI features. Ranks share the videos. A
    file that is there already is not made again, so that an interrupted run goes on where it
    stopped.

    Args:
        model: the detector, in evaluation mode.
        dataset: its registered name.
        folder: where the files go, one a video, numbered as in the ground truth.
        kinds: of features, see ``modeling.actionness_head.FEATURES``.
        disk_bytes: how much all ranks together may write; once a rank has written its part it
            leaves the other videos out. None for no limit.
        keep_detections: keep all detections too, so that they can be linked in other ways.

    Returns:
        The files of all ranks, in the order of the videos.

    Raises:
        ValueError: the folder holds what another detector or another config collected.
    """
    truth = MetadataCatalog.get(dataset).load_ground_truth()
    kept = {"kinds": list(kinds), "detections": keep_detections}
    _claim(folder, kept | {"made_by": _fingerprint(cfg, model)})
    order = _mixed_order(truth, cfg.SEED)[comm.get_rank() :: comm.get_world_size()]
    limit = math.inf if disk_bytes is None else disk_bytes / comm.get_world_size()
    done = {video: _file(folder, video) for video in order if _file(folder, video).exists()}
    used = sum(path.stat().st_size for path in done.values())
    job = _Collection(cfg, model, truth, folder, kinds, keep_detections)
    mine = job.run(dataset, [video for video in order if video not in done], limit - used)
    left_out = sum(comm.all_gather(mine))
    if left_out:
        share = f"{dataset}: {left_out} of {len(truth.videos)} videos left out"
        logger.warning("%s, as SOLVER.ACTIONNESS.DISK_MB is used up", share)
    comm.synchronize()
    paths = (_file(folder, video) for video in range(len(truth.videos)))
    return [path for path in paths if path.exists()]


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

    def run(self, dataset: str, videos: list[int], limit: float) -> int:
        """Collect videos until ``limit`` bytes are written; the number of those left out."""
        dicts = get_detection_dataset_dicts([dataset], filter_empty=False)
        by_name: dict[str, list[dict]] = {}
        for d in dicts:
            by_name.setdefault(d["video_id"], []).append(d)
        clips = {video: by_name.get(str(self._truth.videos[video]), []) for video in videos}
        frames = list(itertools.chain.from_iterable(clips.values()))
        inputs = self._inputs(frames) if frames else iter(())
        progress = tqdm(
            total=len(frames), desc=f"detecting {dataset}", unit="frame", disable=comm.get_rank()
        )
        with progress as bar:
            for done, (video, wanted) in enumerate(clips.items()):
                if limit <= 0:
                    return len(clips) - done
                limit -= self._collect_video(video, wanted, inputs, bar)
        return 0

    def _inputs(self, dicts: list[dict]) -> Iterator[list[dict]]:
        mapper = ClipMapper(self._cfg, is_train=False)
        return iter(
            build_detection_test_loader(
                dicts,
                mapper=mapper,
                sampler=SequentialSampler(dicts),
                num_workers=self._cfg.DATALOADER.NUM_WORKERS,
            )
        )

    def _collect_video(
        self, video: int, wanted: list[dict], inputs: Iterator[list[dict]], bar: tqdm
    ) -> int:
        """Detect, link, label and write one video; the bytes written."""
        frames: dict[tuple[str, int], FrameArrays] = {}
        everything: dict[tuple[str, int], FrameArrays] = {}
        features: dict[str, list[np.ndarray]] = {kind: [] for kind in self._kinds}
        count = 0
        for clip in wanted:
            batch = next(inputs)
            # The loader puts another clip in the place of one that cannot be read.
            key = (clip["video_id"], clip["frame_index"])
            if (batch[0]["video_id"], batch[0]["frame_index"]) == key:
                arrays, linked, rois = self._detect(batch)
                rows = np.arange(count, count + len(linked))
                frames[key] = (*(a[linked] for a in arrays), rows)
                everything[key] = arrays
                count += len(rows)
                for kind in self._kinds:
                    features[kind].append(rois[kind])
            bar.update(1)
        truth = self._truth.select([str(self._truth.videos[video])])
        samples, rows = self._link(truth, frames)
        path = _file(self._folder, video)
        kept = {k: np.concatenate(v)[rows] for k, v in features.items() if v}
        samples.save(path, kept, _gather(truth, everything) if self._keep_detections else None)
        return path.stat().st_size

    def _link(
        self, truth: GroundTruth, frames: dict[tuple[str, int], FrameArrays]
    ) -> tuple[VideoSamples, np.ndarray]:
        """The samples of a video, and the detections (K,) whose features they need."""
        # Linking carries actionness along: here it is the number of the detection.
        detections = _gather(truth, frames or {(str(truth.videos[0]), 1): NOTHING})
        tubes = link(detections, replace(self._link_options, interpolate=False))
        source = tubes.actionness.astype(np.int64)
        rows, inverse = np.unique(source, return_inverse=True)
        # A gap is filled with copies of the next found box, so that the last of equals is found.
        found = np.append(source[1:] != source[:-1], True)[: len(source)]
        labels = label_boxes(tubes, truth, self._cfg.MODEL.ACTIONNESS.LABEL_IOU)
        return VideoSamples(tubes, inverse.reshape(-1), found, labels), rows

    @torch.no_grad()
    def _detect(self, batch: list[dict]) -> tuple[FrameArrays, np.ndarray, dict[str, np.ndarray]]:
        """The detections of a key frame, which of them linking looks at, and the ROI features of
        those."""
        with _pyramids_of(self._model.roi_heads) as seen:
            instances = self._model(batch)[0]["instances"]
        arrays = detection_arrays(instances)[:3]
        kept = filter_detections(arrays[0], arrays[1], arrays[2], self._link_options)
        boxes = Boxes(instances.pred_boxes.tensor[torch.as_tensor(kept)].clone())
        size = seen["images"].image_sizes[0]
        boxes.scale(size[1] / instances.image_size[1], size[0] / instances.image_size[0])
        found = [Instances(size, proposal_boxes=boxes)]
        rois = {
            kind: self._model.roi_heads.actionness_features(seen["features"], found, kind)
            for kind in self._kinds
        }
        return arrays, kept, {k: v.half().cpu().numpy() for k, v in rois.items()}


def _gather(truth: GroundTruth, frames: dict[tuple[str, int], FrameArrays]) -> Detections:
    return Detections.from_frames(truth.videos, truth.labels, truth.nframes, frames)


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
    comm.synchronize()
    if path.read_text(encoding="utf-8") != note:
        raise ValueError(
            f"{folder}: holds features of another detector, kind or config; remove it or choose "
            "another OUTPUT_DIR"
        )


def _fingerprint(cfg: CfgNode, model: nn.Module) -> str:
    """Of all that what is collected depends on."""
    cfg = cfg.clone()
    cfg.defrost()
    label_iou = cfg.MODEL.ACTIONNESS.pop("LABEL_IOU")
    for key in ("ACTIONNESS", "DEVICE", "WEIGHTS"):
        cfg.MODEL.pop(key)
    parts = (cfg.MODEL, cfg.INPUT, link_options(cfg), cfg.TEST.DETECTIONS_PER_IMAGE, label_iou)
    digest = hashlib.sha256("\n".join(map(str, parts)).encode())
    for key, value in model.state_dict().items():
        if "actionness_head" not in key:
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _pyramids_of(roi_heads: nn.Module) -> Iterator[dict[str, object]]:
    """What the heads are called with: the pyramids are not computed twice."""
    seen: dict[str, object] = {}

    def look(_: nn.Module, arguments: tuple) -> None:
        seen.update(images=arguments[0], features=arguments[1])

    handle = roi_heads.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()
