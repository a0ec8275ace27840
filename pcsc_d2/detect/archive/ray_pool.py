"""An archive on a Ray cluster: Ray Data hands videos to a pool of actors that hold a detector each.

A row is a video, and what comes back is what became of it. The results go to the output folder,
which all machines see by the same path, as those of any job do.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.archive.plan import Plan
from pcsc_d2.detect.archive.report import Outcome, Report
from pcsc_d2.detect.inputs import Task
from pcsc_d2.detect.inputs.tasks import FileTask, UrlTask
from pcsc_d2.detect.job import Job
from pcsc_d2.utils.extras import missing_package
from pcsc_d2.utils.progress import progress_bar

# Videos that an actor is handed at once, at most; while one is drawn, the next is looked through.
_MOST_AT_ONCE = 32
# Handfuls for each actor, so that all end at about the same time.
_ROUNDS = 8
# A video whose process ended so many times is done by itself, to know whether it was to blame; if
# that ends once more, it is given up.
_TRIES = 2
# Seconds for a look at whether a cluster answers.
_PATIENCE = 5.0
LOCAL = "local"


class PoolError(OSError):
    """There is no such cluster, or it cannot do the job; one line."""


@dataclass(frozen=True)
class Pool:
    """Where a job runs.

    Attributes:
        address: of the cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); ``local`` starts one
            on this machine, for as long as the job takes.
        workers: actors.
        gpus, cpus: that each takes; a share of a GPU is a fraction.
    """

    address: str = LOCAL
    workers: int = 1
    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"--workers {self.workers}; at least 1")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus % 1):
            raise ValueError(f"--gpus-per-worker {self.gpus:g}; a number, or a fraction of one GPU")


def run_on_ray(
    pool: Pool, plan: Plan, output: Output, tasks: Sequence[Task], resume: bool, progress: bool
) -> Report:
    """Do all tasks on a cluster; see ``Job``.

    Raises:
        PoolError: Ray is not installed, there is no cluster, or no actor can be made.
        ValueError: a camera or standard input, which other machines cannot see.
    """
    for path in plan.model:
        if not Path(path).exists():
            raise PoolError(f"{path}: no such model; all machines have to see it by this path")
    plan = replace(plan, model=tuple(os.path.abspath(path) for path in plan.model))
    rows = [{"task": pickle.dumps(_everywhere(task))} for task in tasks]
    report = Report()
    if not rows:
        return report
    with _connected(pool), progress_bar(len(rows), "detecting", "video", progress) as bar:
        for outcome in _outcomes(pool, plan, output, rows, resume):
            report.add(outcome)
            bar.update(1)
            output.refresh_page()
    return report


class Worker:
    """An actor: a detector, and a job that goes on as long as there are rows.

    Args:
        plan: how the detector is made.
        out: the output folder.
        began: see ``Output``.
        resume: see ``Job``.
    """

    def __init__(self, plan: Plan, out: Path, began: int, resume: bool) -> None:
        detector = plan.detector()
        self._output = Output(out, began)
        settings = plan.settings(detector)
        self._job = Job(
            detector, self._output, settings, resume, progress=False, page=False, note_begun=True
        )

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows of tasks -> rows of outcomes, in any order."""
        found: list[Outcome] = []
        tasks = [pickle.loads(task) for task in batch["task"]]
        tried = list(zip(tasks, self._output.tries(tasks)))
        self._job.outcomes([task for task, tries in tried if tries < _TRIES], found.append)
        for task, tries in tried:
            if tries == _TRIES:
                self._job.outcomes([task], found.append)
            elif tries > _TRIES:
                found.append(self._given_up(task))
        outcomes = np.empty(len(found), object)
        outcomes[:] = [pickle.dumps(outcome) for outcome in found]
        return {"outcome": outcomes}

    def _given_up(self, task: Task) -> Outcome:
        """What became of a video whose process ended each time, or ended after it was done."""
        before = self._job.done_meanwhile(task)
        reason = f"its process ended each of {_TRIES + 1} times (out of memory?)"
        return before or self._output.add_failure(task, reason)


def _everywhere(task: Task) -> Task:
    """A task for any machine."""
    if isinstance(task, FileTask):
        return replace(task, path=task.path.absolute())
    if isinstance(task, UrlTask):
        return task
    raise ValueError(f"{task.name}: is on this machine alone; leave --ray out")


def _outcomes(
    pool: Pool, plan: Plan, output: Output, rows: list[dict[str, bytes]], resume: bool
) -> Iterator[Outcome]:
    import ray

    size = max(1, min(_MOST_AT_ONCE, len(rows) // (_ROUNDS * pool.workers)))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    needs = {"num_gpus": pool.gpus} if pool.gpus else {"num_cpus": pool.cpus}
    workers = min(pool.workers, -(-len(rows) // size))
    blocks = -(-len(rows) // size)
    videos = ray.data.from_items(rows, override_num_blocks=blocks)
    done = videos.map_batches(
        Worker,
        batch_size=size,  # has to be said where a worker takes a GPU
        fn_constructor_args=(plan, output.path.absolute(), output.began, resume),
        compute=ray.data.ActorPoolStrategy(size=workers),
        **needs,
    )
    try:
        for row in done.iter_rows():
            yield pickle.loads(row["outcome"])
    except ray.exceptions.RayError as error:
        raise PoolError(f"the Ray cluster gave up: {_reason(error)}; --resume goes on") from error


@contextmanager
def _connected(pool: Pool) -> Iterator[None]:
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise PoolError(missing_package(error, "pcsc detect --ray", "ray") or error) from None
    _look_for(pool.address)
    is_local = pool.address == LOCAL
    size = {"num_cpus": max(1, round(pool.workers * pool.cpus))} if is_local else {}
    if is_local and pool.gpus == 0:
        size["num_gpus"] = 0
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=pool.address,
            include_dashboard=False if is_local else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
            **size,
        )
    except Exception as error:  # of any kind: Ray raises bare ones, too
        ray.shutdown()
        raise PoolError(f"no Ray cluster at {pool.address}: {_reason(error)}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _look_for(address: str) -> None:
    """PoolError where nobody answers, which Ray itself would find out in a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except (OSError, OverflowError, UnicodeError) as error:
        what = getattr(error, "strerror", None) or error
        raise PoolError(
            f"no Ray cluster at {address} ({what}): start one with 'ray start --head', or leave "
            "the address out for one on this machine"
        ) from None


def _reason(error: Exception) -> str:
    """The last line of what Ray says, which is what was raised."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
