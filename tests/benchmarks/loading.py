"""Loading clips of both streams: this project's loader against the naive one.

python tests/benchmarks/loading.py [--root DATASETS] [--dataset ucf101_24_train] [--videos 8]
python tests/benchmarks/loading.py --root DATASETS --kinds ours     # memory over whole epochs

T = 16 at 240 x 320, with stored flow, from video and from frames as JPEG. The naive loader opens
the video (or the folder) for every clip, decodes from its start (or reads the clip's frames), makes
pixels of the clip's frames only, opens the flow file and transforms frame by frame; it runs in
Detectron2's processes, and in the training process. Clips of one video follow one another
(sequential), or come in random order from all videos, with a cache that holds a tenth of them.
Clips a second are given by CPU second (of all processes) and by wall second.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, build_detection_test_loader
from detectron2.data import transforms as T

from pcsc_d2 import add_pcsc_config
from pcsc_d2.data import ClipMapper, evaluation_loader, flow_store
from pcsc_d2.flow.codec import FlowFile, decode_flow
from pcsc_d2.video import VideoSource, clip_indices, flow_indices
from pcsc_d2.video.decoding import open_reader

KINDS = ("naive", "naive, one process", "ours, processes", "ours")
LENGTH, WORKERS, BYTES = 16, 2, 240 * 320 * 3
BASE = Path(__file__).parents[2] / "configs" / "Base-PCSC-I3D-FPN.yaml"


class NaiveMapper(ClipMapper):
    """Opens everything for every clip, and transforms frame by frame."""

    def __call__(self, dataset_dict: dict, seed: int | None = None) -> dict:
        clip = dataset_dict
        indices = clip_indices(clip["frame_index"], LENGTH, clip["num_frames"])
        frames = _naive_frames(clip["file_name"], clip["decoding"], indices)
        fields = flow_indices(indices, clip["num_frames"])
        with FlowFile(self._flow.path(clip["flow_key"])) as file:
            wanted = sorted(set(fields.tolist()))
            codes = dict(zip(wanted, file.read(wanted)))
        flow = decode_flow(np.stack([codes[i] for i in fields.tolist()]), self._flow.bound)
        transforms = self._augmentations(T.AugInput(frames[len(frames) // 2]))
        rgb = np.stack([transforms.apply_image(frame) for frame in frames])
        flow = np.stack([transforms.apply_flow(field) for field in flow])
        arrays = {"rgb": rgb, "flow": flow}
        return {
            name: torch.as_tensor(np.ascontiguousarray(array.transpose(3, 0, 1, 2)))
            for name, array in arrays.items()
        }


def _naive_frames(path: str, rule: str, indices: np.ndarray) -> list[np.ndarray]:
    reader, wanted, found = open_reader(path, rule), set(indices.tolist()), {}
    for index, handle in enumerate(reader):
        if index in wanted:
            found[index] = reader.pixels(handle)
        if index == indices[-1]:
            break
    return [found[i] for i in indices.tolist()]


def config(folder: Path, cache_mb: int, threads: bool) -> CfgNode:
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(BASE))
    cfg.INPUT.CLIP_LENGTH, cfg.INPUT.FLOW.CACHE = LENGTH, str(folder)
    cfg.SOLVER.EPOCHS, cfg.TEST.IMS_PER_BATCH = 0.0, 1
    cfg.INPUT.FRAME_CACHE_MB = cache_mb
    cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.THREADS = WORKERS, threads
    return cfg


def key_frames(dataset: str, videos: int) -> list[dict]:
    """The key frames of some videos of 240 x 320, spread over the dataset."""
    dicts = [d for d in DatasetCatalog.get(dataset) if (d["height"], d["width"]) == (240, 320)]
    names = list(dict.fromkeys(d["video_id"] for d in dicts))
    chosen = {names[i] for i in np.linspace(0, len(names) - 1, videos).astype(int)}
    return [d for d in dicts if d["video_id"] in chosen]


def as_frames(dicts: list[dict], folder: Path) -> list[dict]:
    """The same key frames, of folders of JPEGs."""
    for name, clip in {d["video_id"]: d for d in dicts}.items():
        (folder / name).mkdir(parents=True)
        for i, frame in enumerate(VideoSource(clip["file_name"], clip["decoding"]), start=1):
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / name / f"{i:05d}.jpg"), bgr)
    return [d | {"file_name": str(folder / d["video_id"])} for d in dicts]


def loader(kind: str, dicts: list[dict], flow: Path, cache_mb: int) -> Iterable:
    cfg = config(flow, cache_mb, threads=kind != "ours, processes")
    if kind.startswith("ours"):
        return evaluation_loader(cfg, dicts, ClipMapper(cfg, is_train=True), kind)
    workers = WORKERS if kind == "naive" else 0
    mapper = NaiveMapper(cfg, is_train=True)
    return build_detection_test_loader(dicts, mapper=mapper, num_workers=workers)


def measure(batches: Iterable) -> tuple[float, float, list[float]]:
    """Clips by CPU second and by wall second, and MiB in use at some moments."""
    memory: list[float] = []
    cpu, wall, clips, every = _cpu(), time.perf_counter(), 0, max(len(batches) // 4, 1)
    for number, batch in enumerate(batches):
        clips += len(batch)
        if number % every == every - 1:
            memory.append(_memory())
    del batches
    return clips / (_cpu() - cpu), clips / (time.perf_counter() - wall), memory


def _cpu() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _memory() -> float:
    """MiB of this process and its children, shared pages shared out."""
    total = 0
    for pid in [os.getpid(), *_children()]:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _children() -> list[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="of the datasets (DETECTRON2_DATASETS)")
    parser.add_argument("--dataset", default="ucf101_24_train")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--clips", type=int, help="fewer than all key frames of the videos")
    parser.add_argument("--flow", type=Path, help="folder that keeps the flow")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="the first is 1")
    args = parser.parse_args()
    if args.root:
        os.environ["DETECTRON2_DATASETS"] = str(args.root)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        run(args, Path(temporary))


def run(args: argparse.Namespace, temporary: Path) -> None:
    flow = args.flow or temporary / "flow"
    dicts = key_frames(args.dataset, args.videos)
    by_key = {d["flow_key"]: d["file_name"] for d in dicts}
    flow_store(config(flow, 1, True)).precompute(by_key.items(), dicts[0]["decoding"], WORKERS)
    frames = as_frames(dicts, temporary / "frames")
    few = max(len(dicts) * BYTES // 10 >> 20, 1)
    print(f"{len(dicts)} key frames of {args.videos} videos; random order: cache of {few} MiB")
    print(f"{'':<34}{'clips / CPU s':>14}{'clips / s':>11}{'ratio':>9}  memory (MiB)")
    order = np.random.default_rng(0).permutation(len(dicts))
    for source, all_clips in (("video", dicts), ("frames", frames)):
        for name, cache_mb in (("sequential", 512), ("random", few)):
            clips = all_clips if name == "sequential" else [all_clips[i] for i in order]
            rates = {}
            for kind in args.kinds:
                batches = loader(kind, clips[: args.clips], flow, cache_mb)
                rates[kind], wall, memory = measure(batches)
                label, ratio = f"{source}, {name}: {kind}", rates[kind] / rates[args.kinds[0]]
                shown = " ".join(f"{value:.0f}" for value in memory)
                print(f"{label:<34}{rates[kind]:>14.1f}{wall:>11.1f}{ratio:>9.2f}  {shown}")


if __name__ == "__main__":
    main()
