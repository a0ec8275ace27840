"""Check the datasets on disk before training: videos, annotations, splits and flow.

    python datasets/check.py --root datasets --dataset jhmdb --show 8

Exit status: 0 nothing wrong, 1 problems found, 2 nothing could be checked.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pcsc_d2.datasets.check import KINDS, CheckReport, check_dataset, write_reports
from pcsc_d2.datasets.check_pictures import draw_clips
from pcsc_d2.datasets.custom.read import all_datasets, any_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: check, print a table, and give the exit status."""
    args = _parser().parse_args(arguments)
    names = all_datasets(args.root) if args.dataset == "all" else [args.dataset]
    if not names:
        print(f"{args.root}: no dataset there; see datasets/README.md", file=sys.stderr)
        return 2
    reports, failed = [], False
    for name in names:
        try:
            with _quiet():
                reports.append(_check(args, name))
        except (OSError, ValueError) as error:
            print(f"{name}: cannot be checked: {error}", file=sys.stderr)
            failed = True
    if args.json:
        write_reports(args.json, reports)
    wrong = any(set(report.problems) - set(args.allow) for report in reports)
    return 2 if failed else int(wrong)


def _check(args: argparse.Namespace, name: str) -> CheckReport:
    files = any_files(args.root, name)
    flow = args.flow or args.root / "flow"
    checked = check_dataset(args.root, files, flow, not args.quick, args.threads)
    print(checked.report.table())
    if args.show:
        for path in draw_clips(checked, files, args.show, args.out, flow):
            print(f"  {path}")
    return checked.report


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings of the package: the reports tell the same."""
    logger = logging.getLogger("pcsc_d2")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datasets/check.py",
        description=__doc__.splitlines()[0],
        epilog="Exit status: 0 nothing wrong, 1 problems found, 2 nothing could be checked.",
    )
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
    parser.add_argument("--root", type=Path, default=root, help="of all datasets (%(default)s)")
    parser.add_argument(
        "--dataset",
        default="all",
        help="ucf24, jhmdb, synthetic/<set>, a folder with dataset.json, or all",
    )
    parser.add_argument("--flow", type=Path, help="folder of flow (<root>/flow)")
    parser.add_argument("--quick", action="store_true", help="count frames, do not decode them")
    parser.add_argument("--allow", nargs="*", default=[], choices=KINDS, metavar="KIND",
                        help=f"problems that leave the status 0: {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="draw N clips")
    parser.add_argument("--out", type=Path, default=Path("output/check"), help="for --show")
    return parser


if __name__ == "__main__":
    sys.exit(main())
