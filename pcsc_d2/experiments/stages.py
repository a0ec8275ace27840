"""The paper's Table 5: frame mAP by stage, with and without cooperation, over several seeds.

    python -m pcsc_d2.experiments.stages --config-file configs/synthetic/pairs.yaml \\
        --dataset synthetic_pairs_test --seeds 1 2 3 --out output/experiments/pairs

Trains what is missing (every variant from the same stage 0 and for the same iterations), scores
every stage of every run from one pass, prints the tables and writes ``tables.md``,
``tables.json`` and ``stages.png`` into the output folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pcsc_d2.experiments.runs import TITLES, VARIANTS, Comparison, Run, call, side_by_side
from pcsc_d2.experiments.stage_tables import draw_curves, write_tables

DEFAULT = ["baseline", "control", "proposals", "pcsc"]
Scores = dict[str, list[dict]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see ``--help``."""
    args = _parser().parse_args(arguments)
    comparison = Comparison(args.out, args.config_file, tuple(args.opts))
    try:
        scores = run(comparison, args.variants, args.seeds, args.dataset, args.jobs)
    except RuntimeError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    print(write_tables(scores, args.out, args.dataset))
    draw_curves(scores, args.out / "stages.png")
    return 0


def run(
    comparison: Comparison, variants: Sequence[str], seeds: Sequence[int], dataset: str, jobs: int
) -> Scores:
    """Train and score; variant -> the scores of each seed (see ``stage_scores``).

    Raises:
        RuntimeError: a run failed; its message names the log.
    """
    starts = [comparison.warmup(seed) for seed in seeds]
    if "two_rgb" in variants:
        starts += [comparison.warmup(seed, two_rgb=True) for seed in seeds]
    side_by_side("stage 0", [start.train for start in starts], jobs)
    runs = {(v, s): comparison.variant(s, v) for s in seeds for v in variants}
    works = [partial(_train_and_score, r, dataset) for r in runs.values()]
    side_by_side("variants", works, jobs)
    return {
        v: [json.loads(_scores_file(runs[v, s], dataset).read_text()) for s in seeds]
        for v in variants
    }


def _scores_file(of: Run, dataset: str) -> Path:
    return of.folder / f"stages_{dataset}.json"


def _train_and_score(of: Run, dataset: str, threads: int) -> None:
    of.train(threads)
    if not _scores_file(of, dataset).exists():
        command = [sys.executable, "-m", "pcsc_d2.experiments.stage_scores"]
        call([*command, str(of.folder), dataset], of.folder / "score.log", threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pcsc_d2.experiments.stages", description=__doc__.splitlines()[0]
    )
    known = "; ".join(f"{name}: {title}" for name, title in TITLES.items())
    parser.add_argument("--config-file", type=Path, required=True, help="the baseline's")
    parser.add_argument("--dataset", required=True, help="a registered name to score on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", default=DEFAULT, choices=VARIANTS, help=known)
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help="runs at a time (%(default)s)")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config, after --")
    return parser


if __name__ == "__main__":
    sys.exit(main())
