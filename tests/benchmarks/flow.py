"""What holding flow in 8 bits costs, and how fast each flow method is, on real clips.

python tests/benchmarks/flow.py [--data DIR] [--clips 12] [--frames 21] [--device cpu]
    [--weights raft_small=FILE raft_large=FILE]

``--data`` or PCSC_TEST_DATA names a dataset root (``datasets/README.md``). Error is the distance
between a field of DIS and what is read back, in pixels. Time is CPU seconds on one thread, or wall
seconds where ``--device`` is a GPU. RAFT without a weights file runs with random weights: that
takes the same time, but its photometric error means nothing and is left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.models import optical_flow
from tqdm import tqdm

from pcsc_d2.flow.codec import FlowFile, decode_flow, encode_flow, write_flow_file
from pcsc_d2.flow.methods import FLOW_METHODS, FlowMethod, compute_flow, flow_method
from pcsc_d2.video import VideoSource

BOUNDS = {"8 bits, 10 pixels": 10.0, "8 bits, 20 pixels": 20.0, "float": None}
_FEW = 5  # frames on which a network is timed: it takes a second for a field on a CPU


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("PCSC_TEST_DATA"))
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=21, help="of each clip, from its middle")
    parser.add_argument("--device", default="cpu", help="of RAFT")
    parser.add_argument("--weights", nargs="*", default=[], metavar="METHOD=FILE")
    args = parser.parse_args(arguments)
    if args.data is None:
        print("no clips: give --data or set PCSC_TEST_DATA", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    clips = list(read_clips(args.data, args.clips, args.frames))
    sizes = sorted({f"{clip.shape[1]}x{clip.shape[2]}" for clip in clips})
    print(f"{len(clips)} clips of {args.frames} frames, {', '.join(sizes)}")
    print_forms([compute_flow(clip) for clip in tqdm(clips, "flow", leave=False)])
    with tempfile.TemporaryDirectory() as folder:
        weights = dict(item.split("=", 1) for item in args.weights)
        print_methods(clips, weights, args.device, Path(folder))
    return 0


def read_clips(root: Path, number: int, length: int) -> Iterable[np.ndarray]:
    """Frames (length, H, W, 3) from the middle of clips spread over both datasets."""
    half = -(-number // 2)
    for dataset, rule in (("jhmdb", "coded"), ("ucf24", "constant_rate")):
        paths = sorted(
            p for p in root.glob(f"{dataset}/videos/*/*") if p.suffix in (".mp4", ".avi")
        )
        for i in np.unique(np.linspace(0, len(paths) - 1, half).astype(int)):
            source = VideoSource(paths[i], rule)
            first = max(0, (len(source) - length) // 2)
            yield np.stack(list(islice(iter(source), first, first + length)))


def print_forms(fields: list[np.ndarray]) -> None:
    """End-point error, disk space and time of each form on disk."""
    speed = np.concatenate([np.linalg.norm(flow, axis=-1).ravel() for flow in fields])
    beyond = np.mean(np.concatenate([(np.abs(flow) > 20).any(-1).ravel() for flow in fields]))
    print(f"flow: mean {speed.mean():.2f} pixels, {100 * beyond:.3f} % beyond 20 in u or v\n")
    heads = ("form", "mean error", "99 %", "max", "KB a field", "ms to read", "ms to write")
    print("{:<18}{:>11}{:>9}{:>9}{:>12}{:>12}{:>13}".format(*heads))
    for name, bound in BOUNDS.items():
        errors, size, reading, writing = measure_form(fields, bound)
        places = f"{errors.mean():11.4f}{np.quantile(errors, 0.99):9.4f}{errors.max():9.3f}"
        print(f"{name:<18}{places}{size / 1e3:12.1f}{reading * 1e3:12.2f}{writing * 1e3:13.2f}")


def measure_form(
    fields: list[np.ndarray], bound: float | None
) -> tuple[np.ndarray, float, float, float]:
    """End-point errors of all pixels; bytes, seconds to read and to write, of a field."""
    errors, size, reading, writing = [], 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for flow in fields:
            path = Path(folder) / "flow.zip"
            started = time.process_time()
            write_flow_file(path, (encode_flow(field, bound) for field in flow), {"bound": bound})
            written = time.process_time()
            with FlowFile(path) as file:
                read = decode_flow(np.stack(file.read(range(len(flow)))), bound)
            reading += time.process_time() - written
            writing += written - started
            size += path.stat().st_size
            errors.append(np.linalg.norm(read - flow, axis=-1).ravel())
    number = sum(len(flow) for flow in fields)
    return np.concatenate(errors), size / number, reading / number, writing / number


def print_methods(
    clips: list[np.ndarray], weights: dict[str, str], device: str, folder: Path
) -> None:
    """Time of each method, and how well its flow explains the next frame."""
    unit = "CPU ms" if device == "cpu" else "ms"
    print(f"\n{'method':<12}{unit + ' a field':>16}{'fields a s':>12}{'photometric error':>20}")
    still = np.mean([np.abs(np.diff(clip.astype(np.int16), axis=0)).mean() for clip in clips])
    print(f"{'none':<12}{'':>16}{'':>12}{still:20.2f}")
    for name in FLOW_METHODS:
        given = weights.get(name) or (random_weights(name, folder) if "raft" in name else "")
        seconds, error = measure_method(flow_method(name, given, device), clips, device)
        shown = f"{error:.2f}" if name in weights or "raft" not in name else "(random weights)"
        print(f"{name:<12}{seconds * 1e3:16.1f}{1 / seconds:12.1f}{shown:>20}")


def random_weights(name: str, folder: Path) -> str:
    """A state_dict of an untrained network."""
    path = folder / f"{name}.pth"
    torch.save(getattr(optical_flow, name)(weights=None).state_dict(), path)
    return str(path)


def measure_method(method: FlowMethod, clips: list[np.ndarray], device: str) -> tuple[float, float]:
    """Seconds for a field, and the mean difference of a frame and the next one, moved back."""
    slow = method.in_process and device == "cpu"
    clips = [clip[:_FEW] for clip in clips[:2]] if slow else clips
    clock = time.process_time if device == "cpu" else time.perf_counter
    list(method(clips[0][:2]))  # loads the network
    seconds, errors, number = 0.0, [], 0
    for clip in tqdm(clips, method.name, leave=False):
        started = clock()
        flow = list(method(clip))
        seconds += clock() - started
        number += len(flow)
        errors += [photometric_error(*pair) for pair in zip(clip, clip[1:], flow)]
    return seconds / number, float(np.mean(errors))


def photometric_error(frame: np.ndarray, after: np.ndarray, flow: np.ndarray) -> float:
    """Mean absolute difference of gray values where the flow stays inside the image."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    moved = cv2.remap(after, x, y, cv2.INTER_LINEAR)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return float(np.abs(moved.astype(np.float32) - frame)[inside].mean())


if __name__ == "__main__":
    sys.exit(main())
