"""CPU seconds and peak memory of linking and scoring.

python tests/benchmarks/tubes.py [--data DIR]

Measures generated data of the size of UCF101-24's test side (910 videos, 159 thousand frames,
3.9 million detections) and, where ``--data`` or PCSC_TEST_DATA names the folder with the J-HMDB
case, that one. Each case runs in a process of its own, on one thread, from the files on.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, link, video_map

VIDEOS, FRAMES, DETECTIONS, CLASSES = 910, 159_289, 3_900_000, 24
OBJECTS, CONFUSED, SCENE = 4, 7, 50
HEIGHT, WIDTH = 240, 320


def generate(folder: Path, rng: np.random.Generator) -> None:
    """Write detections and ground truth: objects that drift, each taken for several classes."""
    videos = [f"video_{i:03}" for i in range(VIDEOS)]
    labels = [f"class_{i:02}" for i in range(CLASSES)]
    share = rng.gamma(4.0, size=VIDEOS)
    nframes = np.maximum(20, share / share.sum() * FRAMES).astype(int)
    nframes[0] += FRAMES - nframes.sum()
    columns, boxes, tubes = [], [], []
    keep = DETECTIONS / (FRAMES * OBJECTS * CONFUSED)
    for video, length in enumerate(nframes.tolist()):
        path = drift(rng, length)
        scenes = np.repeat(np.arange(length // SCENE + 1), SCENE)[:length]
        confused = rng.integers(0, CLASSES, (OBJECTS, scenes[-1] + 1, CONFUSED))
        confused[0, :, 0] = video % CLASSES
        seen = np.argwhere(rng.random((length, OBJECTS, CONFUSED)) < keep)
        frame, thing, kind = seen.T
        score = np.where((thing == 0) & (kind == 0), 0.3, 0.02) + 0.3 * rng.random(len(seen)) ** 2
        columns.append(
            np.column_stack(
                [np.full(len(seen), video), frame + 1, confused[thing, scenes[frame], kind], score]
            )
        )
        boxes.append(path[frame, thing] + rng.normal(0, 3, (len(seen), 4)).clip(-9, 9))
        tubes.append((video, 1 + length // 5, path[length // 5 : length - length // 5, 0]))
    video, frame, cls, score = np.concatenate(columns).T
    Detections.from_arrays(
        videos, labels, nframes, video, frame, np.concatenate(boxes), score, cls
    ).save(folder / "detections.npz")
    ground_truth(videos, labels, nframes, tubes).save(folder / "ground_truth.pkl")


def drift(rng: np.random.Generator, length: int) -> np.ndarray:
    """Boxes (length, OBJECTS, 4) that walk about at random."""
    centre = rng.uniform(80, 160, (1, OBJECTS, 2)) + rng.normal(
        0, 1.5, (length, OBJECTS, 2)
    ).cumsum(0)
    half = rng.uniform(15, 40, (1, OBJECTS, 2)) * np.ones((length, 1, 1))
    return np.concatenate([centre - half, centre + half], axis=2)


def ground_truth(
    videos: list[str], labels: list[str], nframes: np.ndarray, tubes: list[tuple[int, int, Any]]
) -> GroundTruth:
    """One tube a video, in the middle three fifths of it."""
    boxes = np.concatenate([tube[2] for tube in tubes])
    truth = Tubes(
        np.array(videos),
        np.array(labels),
        np.array([tube[0] for tube in tubes]),
        np.array([tube[0] % CLASSES for tube in tubes]),
        np.ones(len(tubes)),
        np.array([tube[1] for tube in tubes]),
        np.concatenate([[0], np.cumsum([len(tube[2]) for tube in tubes])]),
        boxes,
        np.ones(len(boxes)),
    )
    resolution = np.tile([HEIGHT, WIDTH], (len(videos), 1))
    return GroundTruth(tuple(labels), videos, nframes, resolution, truth, [[]], [videos])


def measure(detections_path: str, truth_path: str, repeat: int) -> None:
    """Print what each step takes, the best of some repetitions, and the peak memory."""
    detections = Detections.load(detections_path)
    truth = GroundTruth.load(truth_path).split(1, "test")
    print(
        f"  {len(truth.videos)} videos, {truth.nframes.sum()} frames, {len(detections)} detections"
    )
    score = timed("frame mAP", lambda: frame_map(detections, truth), repeat)
    tubes = timed("linking", lambda: link(detections), repeat)
    videos = timed("video mAP, 11 thresholds", lambda: video_map(tubes, truth), repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {'peak memory':26}{peak:8.0f} MiB")
    print(
        f"  ({len(tubes)} tubes, frame mAP {score.mean:.2f}, "
        f"video mAP@0.5 {videos[0.5].mean:.2f}, 0.5:0.95 {videos.average:.2f})"
    )


def timed(what: str, function: Callable[[], Any], repeat: int) -> Any:
    """Run a function some times and print the least CPU seconds it took."""
    seconds = []
    for _ in range(repeat):
        begin = time.process_time()
        result = function()
        seconds.append(time.process_time() - begin)
    print(f"  {what:26}{min(seconds):8.3f} CPU s")
    return result


def run(*arguments: str | Path | int) -> None:
    """Run this file in a fresh process, on one thread."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, __file__, *map(str, arguments)]
    subprocess.run(command, env={**os.environ, **threads}, check=True)


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("PCSC_TEST_DATA"))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure[0], arguments.measure[1], int(arguments.measure[2]))
    elif arguments.generate:
        generate(arguments.generate, np.random.default_rng(0))
    else:
        run_cases(arguments.data)


def run_cases(data: Path | None) -> None:
    """Each case in processes of their own, as a process inherits the peak memory of its parent."""
    if data:
        print("J-HMDB, split 1", flush=True)
        truth = Path(data) / "jhmdb/annotations/JHMDB-GT.pkl"
        run("--measure", Path(data) / "tubes/dets_jhmdb_s1.npz", truth, 3)
    with tempfile.TemporaryDirectory() as folder:
        print("generated, the size of UCF101-24's test side", flush=True)
        run("--generate", folder)
        run("--measure", Path(folder) / "detections.npz", Path(folder) / "ground_truth.pkl", 1)


if __name__ == "__main__":
    main()
