"""Training and scoring the variants of the comparison, and its tables.

``pcsc experiments stages`` trains what is missing (every variant from the same stage 0 and for the
same iterations), scores every stage of every run from one pass, prints the tables and writes
``tables.md``, ``tables.json`` and ``stages.png`` into the output folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pcsc_d2.data import evaluated_truth
from pcsc_d2.experiments.runs import Comparison, Run, call, side_by_side
from pcsc_d2.experiments.stages.differences import detections_folder, difference_parts
from pcsc_d2.experiments.stages.tables import draw_curves, write_tables
from pcsc_d2.utils.files import read_json

_SCORES = "scores (remove it, and it is made again)"

Scores = dict[str, list[dict]]


def compare(
    comparison: Comparison, variants: Sequence[str], seeds: Sequence[int], dataset: str, jobs: int
) -> str:
    """Train and score what is missing; write tables and curves into the output folder.

    Args:
        comparison: what is trained.
        variants: keys of ``runs.VARIANTS``.
        seeds: of the runs.
        dataset: a registered name to score on.
        jobs: runs at a time.

    Returns:
        The tables.

    Raises:
        ChildProcessError: a run failed; its message names the log.
    """
    scores = run(comparison, variants, seeds, dataset, jobs)
    draw_curves(scores, comparison.out / "stages.png")
    folders = {
        v: [detections_folder(comparison.variant(s, v).folder, dataset) for s in seeds]
        for v in variants
    }
    truth = evaluated_truth(comparison.config(), dataset)
    return write_tables(scores, comparison.out, dataset, difference_parts(folders, truth))


def run(
    comparison: Comparison, variants: Sequence[str], seeds: Sequence[int], dataset: str, jobs: int
) -> Scores:
    """Train and score; variant -> the scores of each seed (see ``scores``).

    Raises:
        ChildProcessError: a run failed; its message names the log.
    """
    if comparison.has_warmup:
        starts = [comparison.warmup(seed) for seed in seeds]
        if "two_rgb" in variants:
            starts += [comparison.two_rgb(seed) for seed in seeds]
        side_by_side("stage 0", [start.train for start in starts], jobs)
    runs = {(v, s): comparison.variant(s, v) for s in seeds for v in variants}
    works = [partial(_train_and_score, r, dataset) for r in runs.values()]
    side_by_side("variants", works, jobs)
    return {
        v: [read_json(_scores_file(runs[v, s], dataset), _SCORES) for s in seeds] for v in variants
    }


def _scores_file(of: Run, dataset: str) -> Path:
    return of.folder / f"stages_{dataset}.json"


def _train_and_score(of: Run, dataset: str, threads: int) -> None:
    of.train(threads)
    if not _scores_file(of, dataset).exists():
        words = ["pcsc_d2.experiments.stages.scores", str(of.folder), dataset]
        call(words, of.folder / "score.log", threads)
