"""What dense video mode changes: frame mAP by what key frames share, against clip by clip.

    python tests/benchmarks/dense_map.py --config-file configs/synthetic/quick.yaml \\
        [--videos 10] [--share c3:1,c3:2] MODEL.WEIGHTS output/synthetic_quick/model_final.pth

Each video of DATASETS.TEST is one window, so that all clips but the first and the last have
neighbours on both sides; all its key frames are scored. Few videos make a noisy mAP: the standard
error of a difference is that of the jackknife, from leaving out one video at a time.
"""

from __future__ import annotations

import argparse
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from dense import ALONE, name_of, sharing
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import detection_utils as utils
from detectron2.modeling import build_model
from tqdm import tqdm

from pcsc_d2 import add_pcsc_config
from pcsc_d2.data import ClipMapper
from pcsc_d2.data.flow_cache import flow_store
from pcsc_d2.evaluation import TubeEvaluator
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.modeling.dense import DenseDetector
from pcsc_d2.tubes import Detections, GroundTruth, frame_map

SUBSET = "dense_map_subset"


def window_of(cfg: CfgNode, dicts: list[dict]) -> tuple[dict, list[int]]:
    """A model input that holds the clips of all key frames of a video, and their places in it."""
    length = cfg.INPUT.CLIP_LENGTH
    first, last = dicts[0]["frame_index"], dicts[-1]["frame_index"]
    whole = last - first + length
    mapper = ClipMapper(
        False,
        augmentations=utils.build_augmentation(cfg, False),
        clip_length=whole,
        flow=flow_store(cfg),
    )
    window = mapper(dicts[0] | {"frame_index": first - length // 2 + whole // 2})
    return window, [d["frame_index"] - first + length // 2 for d in dicts]


def register_subset(name: str, number: int) -> list[list[dict]]:
    """The dataset dicts of the first videos, by video, under a name with their ground truth."""
    dicts = sorted(DatasetCatalog.get(name), key=lambda d: (d["video_id"], d["frame_index"]))
    videos = [list(group) for _, group in groupby(dicts, key=lambda d: d["video_id"])][:number]
    truth = MetadataCatalog.get(name).load_ground_truth()
    chosen = truth.select([video[0]["video_id"] for video in videos])
    MetadataCatalog.get(SUBSET).set(load_ground_truth=lambda: chosen)
    return videos


def standard_errors(
    detections: dict[Sharing, Detections], truth: GroundTruth, protocol: str
) -> dict[Sharing, np.ndarray]:
    """The jackknife's for frame mAP at IoU 0.5 and 0.75 less that of clip by clip: (2,)."""
    names = list(truth.videos)
    differences: dict[Sharing, list[np.ndarray]] = {s: [] for s in detections}
    for left_out in tqdm(names, unit="video", desc="jackknife"):
        rest = [name for name in names if name != left_out]
        part, scores = truth.select(rest), {}
        for s, d in detections.items():
            some = d.select(rest)
            scores[s] = np.array([frame_map(some, part, iou, protocol).mean for iou in (0.5, 0.75)])
        for s, score in scores.items():
            differences[s].append(score - scores[ALONE])
    n = len(names)
    return {s: np.std(d, axis=0) * np.sqrt(n - 1) for s, d in differences.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--share", default="c3:1,c3:2,c4:2,c5:2", help="levels and steps")
    parser.add_argument("--out", type=Path, default=Path("output/dense_map"))
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="override the config")
    args = parser.parse_args()
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list([*args.opts, "TEST.EVAL_ALL_STAGES", False])
    model = build_model(cfg).eval()
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    videos = register_subset(cfg.DATASETS.TEST[0], args.videos)
    ways = [ALONE, *map(sharing, args.share.split(","))]
    protocol = cfg.TEST.TUBES.PROTOCOL
    folders = {s: args.out / name_of(s).replace(" ", "_") for s in ways}
    detectors = {s: DenseDetector(model, cfg.INPUT.CLIP_LENGTH, s, batch=8) for s in ways}
    evaluators = {s: TubeEvaluator(SUBSET, folders[s], protocol) for s in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for dicts in tqdm(videos, unit="video"):
        window, keys = window_of(cfg, dicts)
        size = (dicts[0]["height"], dicts[0]["width"])
        for s, detector in detectors.items():
            start = time.process_time()
            found = detector.detect_window(window["rgb"], window["flow"], keys, size)
            seconds[s] += time.process_time() - start
            evaluators[s].process(dicts, found)
    frames = {s: evaluator.evaluate()["frame"] for s, evaluator in evaluators.items()}
    scores = {s: np.array([frame["AP50"], frame["AP75"]]) for s, frame in frames.items()}
    detections = {s: Detections.load(folders[s] / "detections.npz") for s in ways}
    truth = MetadataCatalog.get(SUBSET).load_ground_truth()
    errors = standard_errors(detections, truth, protocol)
    for s in ways:
        each = seconds[s] / sum(map(len, videos))
        line = f"{name_of(s):<14}AP50 {scores[s][0]:.2f}  AP75 {scores[s][1]:.2f}"
        (d50, d75), (e50, e75) = scores[s] - scores[ALONE], errors[s]
        change = f"{d50:+.2f} ± {e50:.2f} and {d75:+.2f} ± {e75:.2f}"
        print(f"{line}  ({change})  {each:.3f} CPU s a key frame")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
