"""Lets faults come to the jobs of ``kills.py``, and looks at what becomes of them."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from fault_jobs import Job, Run, make_data, make_jobs, make_model
from fault_kinds import FAULTS, Fault
from fault_results import difference, files_of, hidden_in, results, unfinished

TOO_LATE, FINE = "too late", "fine"
# What is younger is taken for somebody's work.
_YOUNG = 2.1
# Moments that may be too late for one that is not.
_TRIES = 4


@dataclass
class Place:
    """Where a job works: its output, and the dataset root with the flow that it makes."""

    out: Path
    root: Path

    @classmethod
    def make(cls, base: Path, job: Job, name: str) -> Place:
        """A fresh one."""
        out, root = base / "runs" / name, base / "root"
        if job.flow:
            out = root / "flow"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        return cls(out, root)


@dataclass
class Undisturbed:
    """A job that nobody ends.

    Attributes:
        results: digests by file.
        size: bytes of all files.
        seconds: that it takes.
    """

    results: dict[str, str]
    size: int
    seconds: float


def run_once(base: Path, job: Job) -> Undisturbed:
    """What a job gives, and needs."""
    place = Place.make(base, job, job.name)
    run = Run(job.words(place.out), base / "log")
    status = run.wait()
    seconds = time.monotonic() - run.started
    if status != 0:
        raise RuntimeError(f"{job.name} ended with {status}: {(base / 'log').read_text()[-3000:]}")
    size = sum(path.stat().st_size for path in files_of(place.out))
    return Undisturbed(results(place.out), size, seconds)


def run_ended(base: Path, job: Job, fault: Fault, share: float, normal: Undisturbed) -> str:
    """What is wrong after a fault came and the job ran again; "fine" or "too late"."""
    place = Place.make(base, job, "ended")
    with fault.place(place.out, share, normal.size) as mend:
        first = Run(job.words(place.out), base / "log")
        fault.strike(first, place.out, share * normal.seconds)
        status = first.wait()
        if status == 0:
            normal.seconds = min(normal.seconds, time.monotonic() - first.started)
            return TOO_LATE
        if wrong := fault.wrong(status, first, place.out):
            return wrong
        if first.orphans():
            return "processes live on"
        mend()
        for broken in unfinished(place.out):
            return f"half-written {broken}"
        time.sleep(_YOUNG)
        second = Run(job.words(place.out, again=True), base / "log")
        status = second.wait()
        if status != 0:
            return f"resumed: status {status}: {second.said()[:90]}"
        if left := hidden_in(place.out):
            return f"left over: {left[0]}"
        found = results(place.out)
        return FINE if found == normal.results else difference(found, normal.results)


class Outcomes:
    """What became of jobs, kept in a file of a line each.

    Args:
        path: of the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        there = path is not None and path.exists()
        self._all = [json.loads(line) for line in path.read_text().splitlines()] if there else []

    def add(self, job: str, fault: str, what: str) -> None:
        """Note what became of a job."""
        self._all.append({"job": job, "fault": fault, "what": what})
        if self._path is not None:
            with open(self._path, "a") as file:
                file.write(json.dumps(self._all[-1]) + "\n")

    def of(self, job: str, fault: str) -> Counter[str]:
        """How often what became of a job."""
        return Counter(x["what"] for x in self._all if (x["job"], x["fault"]) == (job, fault))

    def table(self) -> str:
        """Markdown: a row for each job, a column for each fault."""
        faults = list(dict.fromkeys(x["fault"] for x in self._all))
        lines = [f"| job | {' | '.join(faults)} |", "|---|" + "---|" * len(faults)]
        for job in dict.fromkeys(x["job"] for x in self._all):
            cells = [_cell(self.of(job, fault)) for fault in faults]
            lines.append(f"| {job} | {' | '.join(cells)} |")
        return "\n".join(lines)


def _cell(counts: Counter[str]) -> str:
    ended = sum(n for what, n in counts.items() if what != TOO_LATE)
    bad = [f"{n} {what}" for what, n in counts.items() if what not in (FINE, TOO_LATE)]
    return f"{counts[FINE]} of {ended} fine{''.join('; ' + b for b in bad)}"


def measure(base: Path, args: argparse.Namespace, outcomes: Outcomes) -> None:
    """Let faults come to jobs as often as asked for."""
    os.environ["DETECTRON2_DATASETS"] = str(base / "root")
    make_data(base)
    jobs = [job for job in make_jobs(base) if not args.jobs or job.name in args.jobs]
    faults = [fault for fault in FAULTS if not args.faults or fault.name in args.faults]
    if any(job.trained for job in jobs):
        make_model(base)
    normal = {job: run_once(base, job) for job in jobs}
    for job, alone in normal.items():
        print(f"{job.name}: {alone.seconds:.1f} s undisturbed, {alone.size} bytes", flush=True)
    # In rounds, so that a measurement that is ended has as much of each.
    for number, job, fault in product(range(1, args.moments + 1), jobs, faults):
        _measure(base, job, fault, normal[job], number, args.seed, outcomes)


def _measure(
    base: Path,
    job: Job,
    fault: Fault,
    normal: Undisturbed,
    moments: int,
    seed: int,
    outcomes: Outcomes,
) -> None:
    """Let a fault come to a job until it did so often enough, at moments that were not too late."""
    for _ in range(_TRIES):
        counts = outcomes.of(job.name, fault.name)
        if counts.total() - counts[TOO_LATE] >= moments:
            break
        rng = random.Random(f"{seed} {job.name} {fault.name} {counts.total()}")
        what = run_ended(base, job, fault, rng.random(), normal)
        outcomes.add(job.name, fault.name, what)
        if what not in (FINE, TOO_LATE):
            print(f"{job.name}, {fault.name}: {what}", flush=True)
