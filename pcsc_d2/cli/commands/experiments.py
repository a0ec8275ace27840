"""Make the paper's comparisons: each trains what is missing, scores it and writes the tables.

What is finished is kept, and an interrupted comparison goes on where it stopped.

    pcsc experiments stages --config-file synthetic/pairs.yaml --dataset synthetic_pairs_test \\
        --seeds 1 2 3 --out output/experiments/pairs
    pcsc experiments refinement --runs output/experiments/pairs --seeds 1 2 3 \\
        --train synthetic_pairs_train --test synthetic_pairs_test
    pcsc experiments jhmdb-splits --config-file jhmdb/pcsc.yaml --num-gpus 3
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pcsc_d2.cli.arguments import add_config, add_launch, add_subcommand, named_path, whole
from pcsc_d2.model_zoo import find_config

VARIANTS = ("baseline", "control", "proposals", "pcsc", "messages", "no_image_messages",
            "no_roi_messages", "two_rgb")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the comparisons of ``pcsc experiments``."""
    kinds = parser.add_subparsers(required=True, metavar="COMPARISON")
    _add_stages(add_subcommand(kinds, "stages", _stages))
    _add_ablate(add_subcommand(kinds, "ablate", _ablate))
    _add_refinement(add_subcommand(kinds, "refinement", _refinement))
    _add_splits(add_subcommand(kinds, "jhmdb-splits", _splits))


def _add_stages(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--dataset", required=True, help="a registered name to score on")
    parser.add_argument("--out", type=named_path, required=True, metavar="DIR")
    parser.add_argument(
        "--seeds", type=whole(0, (1 << 31) - 1), nargs="+", default=[1, 2, 3], metavar="N"
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=["baseline", "control", "proposals", "pcsc"],
        metavar="VARIANT",
        help=", ".join(VARIANTS),
    )
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=whole(1, 1024), default=cores, help="runs at a time (%(default)s)"
    )


def _stages(args: argparse.Namespace) -> None:
    """Compare frame mAP by stage, with and without cooperation, over several seeds (Table 5).

        pcsc experiments stages --config-file synthetic/pairs.yaml \\
            --dataset synthetic_pairs_test --out output/experiments/pairs
    """
    from pcsc_d2.experiments.runs import Comparison
    from pcsc_d2.experiments.stages.compare import compare

    comparison = Comparison(args.out, find_config(args.config_file), tuple(args.opts))
    print(compare(comparison, args.variants, args.seeds, args.dataset, args.jobs))


def _add_ablate(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--dataset", required=True, help="a registered name to score on")
    parser.add_argument("--out", type=named_path, required=True, metavar="DIR")
    parser.add_argument(
        "--seeds", type=whole(0, (1 << 31) - 1), nargs="+", default=[1, 2, 3], metavar="N"
    )
    parser.add_argument(
        "--rows", nargs="+", required=True, metavar="ROW", help="see docs/pages/fusion.md, or all"
    )
    parser.add_argument(
        "--fit-on", nargs="+", default=[], metavar="DATASET", help="what fit-scores looks at"
    )
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=whole(1, 1024), default=cores, help="runs at a time (%(default)s)"
    )


def _ablate(args: argparse.Namespace) -> None:
    """Compare a config with stages with others that differ in one line, over several seeds.

        pcsc experiments ablate --config-file jhmdb/pcsc_frozen.yaml --out output/ablations \\
            --dataset jhmdb_split1_val --rows flow_first shared_heads within_streams calibrated

    With MODEL.I3D.FEATURES cached the frozen trunks' maps are computed once for all runs.
    """
    from pcsc_d2.experiments.ablate import Grid, ablate
    from pcsc_d2.experiments.ablations import ROWS
    from pcsc_d2.experiments.runs import Comparison

    rows = list(ROWS) if args.rows == ["all"] else args.rows
    comparison = Comparison(args.out, find_config(args.config_file), tuple(args.opts))
    print(
        ablate(
            Grid(comparison, args.dataset, tuple(args.fit_on), tuple(args.seeds)), rows, args.jobs
        )
    )


def _add_refinement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=named_path, required=True, help="folder of seed<k>/<variant>"
    )
    parser.add_argument(
        "--seeds", type=whole(0, (1 << 31) - 1), nargs="+", default=[1, 2, 3], metavar="N"
    )
    parser.add_argument("--train", required=True, help="registered name of the training videos")
    parser.add_argument("--test", required=True, help="registered name to score on")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config, after --")


def _refinement(args: argparse.Namespace) -> None:
    """Compare video mAP with and without temporal refinement, over several seeds (Table 6).

        pcsc experiments refinement --runs output/experiments/pairs \\
            --train synthetic_pairs_train --test synthetic_pairs_test
    """
    from pcsc_d2.experiments.refinement import compare

    print(compare(args.runs, args.seeds, args.train, args.test, args.opts))


def _add_splits(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--splits", nargs="+", type=int, choices=(1, 2, 3), default=(1, 2, 3))
    parser.add_argument(
        "--out",
        type=named_path,
        metavar="DIR",
        help="output/jhmdb_<config>_splits where it is not given",
    )
    parser.add_argument("--resume", action="store_true", help="go on where it stopped")
    parser.add_argument("--eval-only", action="store_true", help="of OUT/split<k>/model_final.pth")
    add_launch(parser)


def _splits(args: argparse.Namespace) -> int:
    """Train and evaluate a config on all three splits of J-HMDB, and average, as papers report.

        pcsc experiments jhmdb-splits --config-file jhmdb/pcsc.yaml --num-gpus 3

    Each split is a run of pcsc train in OUT/split<k>; the mean goes to OUT/results.json.
    --resume skips splits that are done and goes on exactly with the one that was interrupted.
    """
    from pcsc_d2.experiments.jhmdb_splits import Splits

    config = find_config(args.config_file)
    out = args.out or Path("output", f"jhmdb_{config.stem}_splits")
    launch = ["--num-gpus", args.num_gpus, "--num-machines", args.num_machines]
    launch += ["--machine-rank", args.machine_rank, "--dist-url", args.dist_url]
    launch += ["--timeout", args.timeout]
    splits = Splits(config, out, args.resume, args.eval_only, (*map(str, launch), *args.opts))
    return splits.run(args.splits)
