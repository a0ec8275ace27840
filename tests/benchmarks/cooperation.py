"""What cooperation costs: forward time and training memory against the two-stream baseline.

python tests/benchmarks/cooperation.py [--rounds 5] [--device cpu]

Both models at the paper's size (240x320, T = 16, batch 1, full width, 24 classes), random weights
and a generated clip, measured in turns in one run. Forward time is CPU seconds on the CPU and wall
seconds on a GPU; memory is the peak of a training step, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from pcsc_d2 import add_pcsc_config

CONFIGS = Path(__file__).parents[2] / "configs" / "ucf101_24"
MODELS = {"baseline": "baseline.yaml", "PCSC, 4 stages": "pcsc.yaml"}
SIZE, LENGTH = (240, 320), 16


def config(name: str, device: str) -> CfgNode:
    """A model's config, with boxes of untrained heads allowed as proposals.

    An untrained head is sure of nothing, so that no box would pass the score threshold and the
    stages would have nothing to do; 0 lets the allowed number through, which is the worst case.
    """
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(CONFIGS / MODELS[name]))
    cfg.MODEL.DEVICE = device
    cfg.MODEL.COOPERATION.SCORE_THRESH = 0.0
    cfg.VIS_PERIOD = 0
    return cfg


def key_frame() -> dict:
    """A model input of random pixels with one actor."""
    generator = torch.Generator().manual_seed(0)
    instances = Instances(SIZE)
    instances.gt_boxes = Boxes(torch.tensor([[100.0, 40.0, 180.0, 220.0]]))
    instances.gt_classes = torch.tensor([3])
    rgb = torch.randint(0, 256, (3, LENGTH, *SIZE), generator=generator, dtype=torch.uint8)
    flow = torch.randn(2, LENGTH, *SIZE, generator=generator)
    return {"rgb": rgb, "flow": flow, "height": 240, "width": 320, "instances": instances}


def forward_seconds(device: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each forward, the models taking turns."""
    models = {name: build_model(config(name, device)).eval() for name in MODELS}
    seconds: dict[str, list[float]] = {name: [] for name in MODELS}
    clip = key_frame()
    for turn in range(rounds + 1):
        for name, model in models.items():
            start = _clock(device)
            model([clip])
            if turn > 0:  # the first forward of each allocates
                seconds[name].append(_clock(device) - start)
    return seconds


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def training_peak(name: str, device: str) -> float:
    """MiB at the peak of a training step: of the process on the CPU, of tensors on a GPU."""
    model = build_model(config(name, device)).train()
    with EventStorage():
        losses = model([key_frame()])
        sum(losses.values()).backward()
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _peak_in_own_process(name: str, device: str) -> float:
    command = [sys.executable, __file__, "--device", device, "--peak", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", choices=MODELS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print(json.dumps(training_peak(args.peak, args.device)))
        return
    seconds = forward_seconds(args.device, args.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peaks = {name: _peak_in_own_process(name, args.device) for name in MODELS}
    baseline = next(iter(MODELS))
    print(f"{'':<16}{'forward (s)':>12}{'ratio':>8}{'peak (MiB)':>12}{'ratio':>8}")
    for name in MODELS:
        time_ratio, peak_ratio = medians[name] / medians[baseline], peaks[name] / peaks[baseline]
        line = f"{medians[name]:>12.2f}{time_ratio:>8.3f}{peaks[name]:>12.0f}{peak_ratio:>8.3f}"
        print(f"{name:<16}{line}")


if __name__ == "__main__":
    main()
