"""Seconds of a training step of the paper's model and the memory it takes, on a GPU.

    python tests/benchmarks/training_step.py

All stages train, on random clips of 16x240x320 that are in memory: loading is not in it.
"""

from __future__ import annotations

import itertools
import statistics
import time

import torch
from detectron2.config import CfgNode
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from pcsc_d2.engine import Trainer
from pcsc_d2.engine.analysis import example
from pcsc_d2.model_zoo import get_config

OPTIONS = [
    *("MODEL.RGB.WEIGHTS", "kinetics", "MODEL.FLOW.WEIGHTS", "kinetics"),
    *("MODEL.COOPERATION.WARMUP_ITERS", "0", "SOLVER.BASE_LR", "0.0001", "VIS_PERIOD", "0"),
]
# Steps before those that count.
_FIRST = 4


def clip(cfg: CfgNode, seed: int) -> dict:
    """A model input of noise with one actor."""
    noise = example(cfg)
    truth = Instances(noise["rgb"].shape[-2:])
    truth.gt_boxes = Boxes(torch.tensor([[96.0, 48.0, 192.0, 216.0]]))
    truth.gt_classes = torch.tensor([seed % cfg.MODEL.ROI_HEADS.NUM_CLASSES])
    return noise | {"instances": truth}


def measure(batch: int, amp: bool, benchmark: bool, steps: int = 16) -> None:
    """Print one line."""
    torch.backends.cudnn.benchmark = benchmark
    cfg = get_config("jhmdb/pcsc.yaml", OPTIONS)
    model = build_model(cfg).train()
    batches = itertools.cycle([[clip(cfg, batch * i + k) for k in range(batch)] for i in range(4)])
    kind = AMPTrainer if amp else SimpleTrainer
    trainer = kind(model, batches, Trainer.build_optimizer(cfg, model))
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    with EventStorage() as storage:
        for _ in range(steps):
            torch.cuda.synchronize()
            start = time.perf_counter()
            trainer.run_step()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
            storage.step()
    seconds = seconds[_FIRST:]
    spread = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
    memory = torch.cuda.max_memory_allocated() >> 20
    how = f"{batch} clips, AMP {amp}, cudnn.benchmark {benchmark}"
    print(f"{how}: {spread}, {memory} MiB", flush=True)


def main() -> None:
    """Measure each way."""
    print(torch.cuda.get_device_name(), torch.__version__)
    for batch, amp in ((3, False), (3, True), (8, True)):
        measure(batch, amp, False)
    measure(3, True, True)


if __name__ == "__main__":
    main()
