"""Training runs of a comparison: every variant from the same stage 0, by ``pcsc train``.

    <out>/seed<k>/warmup/     stage 0 alone, both streams learning their own cue
    <out>/seed<k>/<variant>/  goes on from there, all variants for the same iterations

Each folder holds ``config.yaml``, ``model_final.pth`` and ``train.log``; a finished run is kept,
an interrupted one is resumed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn
from tqdm import tqdm

from pcsc_d2.engine import epochs_to_iterations, settle
from pcsc_d2.model_zoo import get_config
from pcsc_d2.models.trained import load_trained, read_config
from pcsc_d2.utils.programs import end_programs, run_module
from pcsc_d2.utils.weights import is_whole

WARMUP = "warmup"

_STAGES = ("MODEL.COOPERATION.NUM_STAGES", "4")
_MESSAGES = ("MODEL.COOPERATION.IMAGE_MESSAGES", "True")
_NO_STAGES = (
    *("MODEL.COOPERATION.NUM_STAGES", "0"),
    *("MODEL.COOPERATION.IMAGE_MESSAGES", "False"),
)
_TWO_RGB = ("MODEL.FLOW.SOURCE", "rgb")
VARIANTS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "control": (*_STAGES, "MODEL.COOPERATION.OWN_STREAM_CONTROL", "True"),
    "proposals": (*_STAGES, "MODEL.COOPERATION.ROI_MESSAGES", "False"),
    "pcsc": (*_STAGES, *_MESSAGES),
    "messages": (*_STAGES, *_MESSAGES, "MODEL.COOPERATION.PROPOSALS", "False"),
    "no_image_messages": _STAGES,
    "no_roi_messages": (*_STAGES, *_MESSAGES, "MODEL.COOPERATION.ROI_MESSAGES", "False"),
    "two_rgb": (*_STAGES, *_MESSAGES, *_TWO_RGB),
}
"""Name of a variant to the options that make it from the baseline's config."""
TITLES = {
    "baseline": "baseline",
    "control": "control: own stream",
    "proposals": "PCSC w/o feature cooperation",
    "pcsc": "PCSC",
    "messages": "PCSC w/o proposal cooperation",
    "no_image_messages": "PCSC w/o image messages",
    "no_roi_messages": "PCSC w/o ROI messages",
    "two_rgb": "PCSC, both streams RGB",
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        folder: of the run, ``<out>/seed<k>/<name>``.
        config_file: of the baseline.
        options: KEY, VALUE, ... on top of it.
    """

    folder: Path
    config_file: Path
    options: tuple[str, ...]

    @property
    def weights(self) -> Path:
        """The trained model; there once the run has finished."""
        return self.folder / "model_final.pth"

    def train(self, threads: int) -> None:
        """Run ``pcsc train`` unless it has finished; ChildProcessError names the log."""
        if is_whole(self.weights):
            return
        words = ["pcsc_d2", "train", "--resume", "--config-file", str(self.config_file)]
        words += [*self.options, "OUTPUT_DIR", str(self.folder)]
        call(words, self.folder / "train.log", threads)


@dataclass(frozen=True)
class Comparison:
    """What is trained.

    Attributes:
        out: the folder of all runs.
        config_file: the baseline's. Of its iterations, MODEL.COOPERATION.WARMUP_ITERS are the
            warm-up, and the variants go on for the rest; where there are none, the variants
            train for all iterations from what the config starts from.
        options: KEY, VALUE, ... for all runs.
    """

    out: Path
    config_file: Path
    options: tuple[str, ...] = ()

    def config(self) -> CfgNode:
        """The baseline's config."""
        cfg = get_config(self.config_file, self.options)
        settle(cfg, self.options)
        return epochs_to_iterations(cfg)

    @property
    def has_warmup(self) -> bool:
        """Whether the variants start from a stage 0 of their own making."""
        return self.config().MODEL.COOPERATION.WARMUP_ITERS > 0

    def warmup(self, seed: int, of: str = "", options: Sequence[str] = ()) -> Run:
        """Stage 0 alone; variants that see other clips need one ``of`` their own."""
        cfg = self.config()
        length = cfg.MODEL.COOPERATION.WARMUP_ITERS
        steps = [step for step in cfg.SOLVER.STEPS if step < length]
        name = f"{WARMUP}_{of}" if of else WARMUP
        return self._run(seed, name, length, steps, (*_NO_STAGES, *options))

    def variant(self, seed: int, name: str) -> Run:
        """A variant that goes on from the warm-up, where there is one."""
        start = None
        if self.has_warmup:
            start = self.two_rgb(seed) if name == "two_rgb" else self.warmup(seed)
        return self.going_on(seed, name, VARIANTS[name], start)

    def two_rgb(self, seed: int) -> Run:
        """The warm-up of two RGB streams."""
        return self.warmup(seed, "two_rgb", _TWO_RGB)

    def going_on(self, seed: int, name: str, added: Sequence[str], start: Run | None) -> Run:
        """The run of some options that goes on from the end of a warm-up.

        Args:
            seed: of the run.
            name: of its folder.
            added: KEY, VALUE, ... on top of the options of all runs.
            start: the warm-up; None where the config has none.
        """
        cfg = self.config()
        done = cfg.MODEL.COOPERATION.WARMUP_ITERS
        steps = [step - done for step in cfg.SOLVER.STEPS if step > done]
        drops = len(cfg.SOLVER.STEPS) - len(steps)
        options = ("SOLVER.BASE_LR", str(cfg.SOLVER.BASE_LR * cfg.SOLVER.GAMMA**drops))
        if start is not None:
            options += ("MODEL.WEIGHTS", str(start.weights))
        return self._run(seed, name, cfg.SOLVER.MAX_ITER - done, steps, (*options, *added))

    def _run(
        self, seed: int, name: str, length: int, steps: Sequence[int], options: tuple[str, ...]
    ) -> Run:
        schedule = {
            "SEED": seed,
            "SOLVER.EPOCHS": 0.0,
            "SOLVER.MAX_ITER": length,
            "SOLVER.STEPS": tuple(steps),
            "DATASETS.TEST": (),
            # The warm-up is a run of its own here.
            "MODEL.COOPERATION.WARMUP_ITERS": 0,
        }
        pairs = [str(part) for pair in schedule.items() for part in pair]
        folder = self.out / f"seed{seed}" / name
        return Run(folder, self.config_file, (*self.options, *pairs, *options))


def load_detector(folder: Path, options: Sequence[str] = ()) -> tuple[CfgNode, nn.Module]:
    """Config and trained model of a run's folder; FileNotFoundError says how to make it."""
    weights = folder / "model_final.pth"
    if not weights.exists():
        raise FileNotFoundError(f"{weights}: no such file; train it with pcsc experiments stages")
    cfg = read_config(folder / "config.yaml", ["MODEL.WEIGHTS", str(weights), *options])
    return cfg, load_trained(cfg)


def call(words: Sequence[str], log: Path, threads: int) -> None:
    """Run a module with its output in a file; ChildProcessError names the file if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    with log.open("a") as output:
        status = run_module(words, environment, output)
    if status != 0:
        raise ChildProcessError(f"{' '.join(words[:2])} failed with status {status}: see {log}")


def side_by_side(description: str, works: Iterable[Callable[[int], None]], jobs: int) -> None:
    """Do works, ``jobs`` at a time, each on its share of the cores, with a progress bar."""
    works = list(works)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work, threads) for work in works]
        try:
            for future in tqdm(running, description, unit="run"):
                future.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end_programs()
            raise
