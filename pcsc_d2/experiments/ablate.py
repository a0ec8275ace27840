"""A grid of ablations over several seeds: ``pcsc experiments ablate``.

    <out>/seed<k>/warmup/  stage 0, which all rows of a seed start from (where the config warms up)
    <out>/seed<k>/<row>/   a trained row; and scored/, its evaluation
    <out>/seed<k>/<row>/scored/  of a row that uses another one's weights, alone

What is finished is kept. ``ablations.md`` and ``ablations.json`` hold the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pcsc_d2.data import evaluated_truth
from pcsc_d2.experiments import runs
from pcsc_d2.experiments.ablation_table import Cell, table
from pcsc_d2.experiments.ablations import REFERENCE, ROWS, with_needed
from pcsc_d2.experiments.runs import Comparison, Run, side_by_side
from pcsc_d2.experiments.tables import write_report
from pcsc_d2.utils.files import read_json


@dataclass(frozen=True)
class Grid:
    """What is to be compared.

    Attributes:
        comparison: the config with stages, its options and the folder.
        dataset: a registered name to score on.
        fit_on: registered names that learned fusions and temperatures are fitted on; empty for
            the config's own.
        seeds: of the runs.
    """

    comparison: Comparison
    dataset: str
    fit_on: tuple[str, ...]
    seeds: tuple[int, ...]

    def training(self, seed: int, row: str) -> Run:
        """The run of a row that is trained."""
        what, comparison = ROWS[row], self.comparison
        return comparison.going_on(seed, row, what.options, self.start(seed, row))

    def start(self, seed: int, row: str) -> Run | None:
        """The stage 0 that a row goes on from; None where the config does not warm up."""
        if not self.comparison.has_warmup:
            return None
        what = ROWS[row]
        name, options = (row, what.options) if what.own_start else ("", ())
        return self.comparison.warmup(seed, name, options)

    def scored(self, seed: int, row: str) -> Path:
        """Where a row's evaluation is."""
        return self.comparison.out / f"seed{seed}" / row / "scored"


def ablate(grid: Grid, names: Sequence[str], jobs: int) -> str:
    """Train, fit and score what is missing; the table, which is written, too.

    Args:
        grid: what is compared.
        names: keys of ``ablations.ROWS``.
        jobs: runs at a time.

    Raises:
        ValueError: there is no such row.
        ChildProcessError: a run failed; its message names the log.
    """
    rows = with_needed(list(names))
    trained = [row for row in rows if not ROWS[row].of]
    starts = {r.folder: r for s in grid.seeds for row in trained if (r := grid.start(s, row))}
    side_by_side("stage 0", [start.train for start in starts.values()], jobs)
    pairs = [(seed, row) for seed in grid.seeds for row in trained]
    side_by_side("training", [grid.training(*pair).train for pair in pairs], jobs)
    every = [(seed, row) for seed in grid.seeds for row in rows]
    side_by_side("scoring", [partial(_score, grid, *pair) for pair in every], jobs)
    cells = {row: [_cell(grid, seed, row) for seed in grid.seeds] for row in rows}
    truth = evaluated_truth(grid.comparison.config(), grid.dataset)
    text, content = table(cells, ROWS, REFERENCE, truth)
    seeds = f"mean ± standard deviation of {len(grid.seeds)} seeds"
    heading = f"# {grid.dataset}: mAP in %, {seeds}; differences in points, paired"
    return write_report(grid.comparison.out / "ablations", [heading, text], content)


def _score(grid: Grid, seed: int, row: str, threads: int) -> None:
    """Evaluate a row, fitting it first where that is asked for."""
    out = grid.scored(seed, row)
    if _results(grid, seed, row).is_file():
        return
    what = ROWS[row]
    of = grid.training(seed, what.of or row)
    words = ["fit-scores"] if what.fitted else ["train", "--eval-only"]
    words += ["--config-file", str(of.folder / "config.yaml")]
    words += ["MODEL.WEIGHTS", str(of.weights), "OUTPUT_DIR", str(out)]
    words += ["DATASETS.TEST", f"('{grid.dataset}',)", *(what.options if what.of else ())]
    if what.fitted and grid.fit_on:
        words += ["DATASETS.SCORES", str(grid.fit_on)]
    runs.call(["pcsc_d2", *words], out / "score.log", threads)


def _results(grid: Grid, seed: int, row: str) -> Path:
    return grid.scored(seed, row) / "inference" / grid.dataset / "results.json"


def _cell(grid: Grid, seed: int, row: str) -> Cell:
    path = _results(grid, seed, row)
    results = read_json(path, "results (remove it, and it is made again)")
    return Cell(results, path.with_name("detections.npz"))
