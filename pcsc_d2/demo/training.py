"""The demo's training: a program of its own, watched by what it writes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pcsc_d2.demo.programs import run_quietly

TRAINING = "training"
"""Folder of the model, its config and its log, in the demo's."""
CONFIG = "synthetic/demo.yaml"
METRICS = "metrics.json"
_EVERY = 2.0  # seconds between two looks at what training has written
_LINE_EVERY = 60.0  # seconds between two lines where no terminal shows a line that changes


def train(out: Path, name: str, options: Sequence[str]) -> Path:
    """Train and evaluate.

    Args:
        out: the demo's folder, which holds the generated set.
        name: of the generated set.
        options: KEY, VALUE, ... that override the config.

    Returns:
        The folder of the evaluator's files.

    Raises:
        ChildProcessError: training failed.
    """
    folder = out / TRAINING
    folder.mkdir(exist_ok=True)
    (folder / METRICS).unlink(missing_ok=True)  # those of another run would be its curve
    words = ["pcsc_d2", "train", "--config-file", CONFIG, "OUTPUT_DIR", str(folder), *options]
    log = out / "training.log"
    print(f"training (what it says goes to {log})")
    with _watched(folder / METRICS):
        run_quietly(words, log, {"DETECTRON2_DATASETS": str(out / "datasets")})
    return folder / "inference" / f"synthetic_{name}_test"


def read_losses(folder: Path) -> list[dict[str, float]]:
    """What training wrote of its losses, one entry each time; those of an unfinished line not."""
    found = []
    for line in _lines(folder / METRICS):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "total_loss" in entry:
            found.append({k: v for k, v in entry.items() if "loss" in k or k == "iteration"})
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@contextmanager
def _watched(metrics: Path) -> Iterator[None]:
    """Say how far training is, from time to time."""
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(metrics, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(metrics: Path, done: threading.Event) -> None:
    changing, told, said = sys.stderr.isatty(), "", time.monotonic()
    while not done.wait(_EVERY):
        line = _progress(metrics)
        if line == told or (not changing and time.monotonic() - said < _LINE_EVERY):
            continue
        told, said = line, time.monotonic()
        print(
            f"\r\033[K{line}" if changing else line, end="" if changing else "\n", file=sys.stderr
        )
        sys.stderr.flush()
    if changing and told:
        print(file=sys.stderr)


def _progress(metrics: Path) -> str:
    """Where training is, such as "iteration 120, loss 1.49, about 2 min left"; or empty."""
    entries = [json.loads(line) for line in _lines(metrics)[-1:] if line.endswith("}")]
    if not entries or "total_loss" not in entries[0]:
        return ""
    entry = entries[0]
    done = f"  iteration {entry['iteration'] + 1}, loss {entry['total_loss']:.2f}"
    left = entry.get("eta_seconds")
    if left is None:
        return done
    return f"{done}, about {left / 60:.0f} min left" if left > 30 else f"{done}, then evaluation"
