"""Look for what is wrong with datasets before training: videos, annotations, splits and flow.

Every clip is decoded, and a line printed for each kind of problem; --show draws clips.

    pcsc check --root datasets --dataset jhmdb --show 8

Exit status: 0 nothing wrong, 1 problems found, 2 a dataset could not be checked.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pcsc_d2.cli.arguments import add_root, named_path, whole
from pcsc_d2.cli.outcome import UNUSABLE, fail
from pcsc_d2.utils.progress import without_warnings

if TYPE_CHECKING:
    from pcsc_d2.datasets.check import CheckReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc check``."""
    add_root(parser)
    parser.add_argument(
        "--dataset",
        default="all",
        help="ucf24, jhmdb, synthetic/<set>, a folder with dataset.json, or all",
    )
    parser.add_argument("--flow", type=named_path, help="folder of flow (<root>/flow)")
    parser.add_argument("--quick", action="store_true", help="count frames, do not decode them")
    parser.add_argument(
        "--allow", nargs="*", default=[], metavar="KIND", help="problems that leave the status 0"
    )
    parser.add_argument("--threads", type=whole(1, 1024), default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--json", type=named_path, metavar="FILE", help="write the whole report")
    parser.add_argument("--show", type=whole(0), default=0, metavar="N", help="draw N clips")
    parser.add_argument("--out", type=named_path, default=Path("output/check"), help="for --show")


def run(args: argparse.Namespace) -> int:
    """Check, print a table for each dataset, and give the exit status."""
    from pcsc_d2.datasets.check import KINDS, write_reports
    from pcsc_d2.datasets.custom.read import all_datasets

    unknown = [kind for kind in args.allow if kind not in KINDS]
    if unknown:
        raise ValueError(f"--allow {unknown[0]}: the kinds are {', '.join(KINDS)}")
    names = all_datasets(args.root) if args.dataset == "all" else [args.dataset]
    if not names:
        raise ValueError(f"{args.root}: no dataset there; see datasets/README.md")
    reports, failed = [], False
    for name in names:
        try:
            with without_warnings():
                reports.append(_check(args, name))
        except (OSError, ValueError) as error:
            fail(f"{name}: cannot be checked: {error}")
            failed = True
    if args.json:
        write_reports(args.json, reports)
    wrong = any(set(report.problems) - set(args.allow) for report in reports)
    return UNUSABLE if failed else int(wrong)


def _check(args: argparse.Namespace, name: str) -> CheckReport:
    from pcsc_d2.datasets.check import check_dataset
    from pcsc_d2.datasets.check_pictures import draw_clips
    from pcsc_d2.datasets.custom.read import any_files

    files = any_files(args.root, name)
    flow = args.flow or args.root / "flow"
    checked = check_dataset(args.root, files, flow, not args.quick, args.threads)
    print(checked.report.table())
    if args.show:
        for path in draw_clips(checked, files, args.show, args.out, flow):
            print(f"  {path}")
    return checked.report
