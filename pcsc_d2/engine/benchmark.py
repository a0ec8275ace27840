"""How long loading, training and evaluating take here, in the manner of Detectron2's
``tools/benchmark.py``."""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import nn

from pcsc_d2 import data
from pcsc_d2.config import changed
from pcsc_d2.engine.checkpointing import Checkpointer
from pcsc_d2.engine.optimizer import build_optimizer
from pcsc_d2.engine.schedule import scheduled
from pcsc_d2.engine.trainer import Trainer, step_trainer
from pcsc_d2.model_zoo import get_config
from pcsc_d2.modeling import build_detector
from pcsc_d2.utils.progress import progress_bar

# Batches that training and evaluation go through again and again, so that loading is left out.
_BATCHES = 4


class Timing(NamedTuple):
    """Of a task.

    Attributes:
        clips: in an iteration, on the average.
        seconds: of each iteration.
    """

    clips: float
    seconds: list[float]


def benchmark(args: argparse.Namespace, tasks: Sequence[str]) -> None:
    """``pcsc benchmark``: time tasks, and print a table.

    Args:
        args: of that command.
        tasks: of ``TASKS``.

    Raises:
        ValueError: a dataset is not there, or none of its clips can be read.
    """
    cfg = get_config(args.config_file, args.opts)
    data.register_custom_datasets()
    data.check_datasets(cfg)
    cfg = scheduled(cfg)
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    rows = []
    for task in tasks:
        timing = TASKS[task](cfg, args.warmup, args.iterations)
        mean = statistics.fmean(timing.seconds)
        slowest = max(timing.seconds)
        rows.append((task, timing.clips, mean, slowest, timing.clips / mean, _peak_mib(cfg)))
    print(f"{args.config_file} on {_device_name(cfg)}, {args.iterations} iterations")
    headings = ("", "clips", "s / iteration", "slowest", "clips / s", "peak MiB so far")
    print(tabulate(rows, headings, floatfmt=("", ".1f", ".4g", ".4g", ".4g", ".0f")))


def time_data(cfg: CfgNode, warmup: int, iterations: int) -> Timing:
    """Of a batch for training: what loading adds beyond what is made ahead meanwhile."""
    loader, clips = iter(Trainer.build_train_loader(cfg)), []

    def load() -> None:
        clips.append(len(next(loader)))

    seconds = _timed(load, "data", warmup, iterations)
    return Timing(statistics.fmean(clips), seconds)


def time_training(cfg: CfgNode, warmup: int, iterations: int) -> Timing:
    """Of a step of training, without loading."""
    batches = _some(Trainer.build_train_loader(cfg))
    # All stages train, and no pictures are drawn.
    cfg = changed(cfg, {"MODEL.COOPERATION.WARMUP_ITERS": 0, "VIS_PERIOD": 0})
    model = _model(cfg).train()
    trainer = step_trainer(cfg, model)(model, itertools.cycle(batches), build_optimizer(cfg, model))
    with EventStorage() as trainer.storage:
        trainer.iter = 0
        seconds = _timed(trainer.run_step, "train", warmup, iterations)
    return Timing(cfg.SOLVER.IMS_PER_BATCH, seconds)


def time_evaluation(cfg: CfgNode, warmup: int, iterations: int) -> Timing:
    """Of detecting in a batch of evaluation, without loading."""
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST is empty: name a dataset to evaluate on")
    batches = _some(Trainer.build_test_loader(cfg, cfg.DATASETS.TEST[0]))
    model, endless = _model(cfg).eval(), itertools.cycle(batches)

    @torch.no_grad()
    def detect() -> None:
        model(next(endless))

    seconds = _timed(detect, "evaluate", warmup, iterations)
    return Timing(statistics.fmean(map(len, batches)), seconds)


TASKS: dict[str, Callable[[CfgNode, int, int], Timing]] = {
    "data": time_data,
    "train": time_training,
    "evaluate": time_evaluation,
}


def _some(loader: Iterable[list[dict]]) -> list[list[dict]]:
    batches = list(itertools.islice(loader, _BATCHES))
    if not batches:
        raise ValueError("no clip of the dataset can be read")
    return batches


def _model(cfg: CfgNode) -> nn.Module:
    model = build_detector(cfg)
    if cfg.MODEL.WEIGHTS:
        Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    return model


def _timed(step: Callable[[], None], task: str, warmup: int, iterations: int) -> list[float]:
    """Seconds of each iteration but the first ones, which start threads and choose kernels."""
    with progress_bar(warmup + iterations, task, "iteration", True) as bar:
        return list(_seconds(step, warmup + iterations, bar.update))[warmup:]


def _seconds(
    step: Callable[[], None], iterations: int, done: Callable[[int], object]
) -> Iterator[float]:
    for _ in range(iterations):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        yield time.perf_counter() - start
        done(1)


def _on_gpu(cfg: CfgNode) -> bool:
    return torch.device(cfg.MODEL.DEVICE).type == "cuda"


def _device_name(cfg: CfgNode) -> str:
    if _on_gpu(cfg):
        return torch.cuda.get_device_name()
    return f"the CPU, {torch.get_num_threads()} threads"


def _peak_mib(cfg: CfgNode) -> float:
    """Of the GPU's memory, or of this process."""
    if _on_gpu(cfg):
        return torch.cuda.max_memory_allocated() / 2**20
    # Linux counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
