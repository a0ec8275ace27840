"""Make a FiftyOne dataset of what was detected: tubes as tracked boxes, and as spans of time.

The dataset stays in FiftyOne's database; `fiftyone app launch NAME` shows it.

    pcsc fiftyone results --name archive

Exit status: 0; 2 if it cannot be made.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import named_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc fiftyone``."""
    parser.add_argument("results", type=named_path, metavar="DIR", help="what pcsc detect wrote")
    parser.add_argument("--name", metavar="NAME", help="of the dataset (default: the folder's)")
    parser.add_argument("--overwrite", action="store_true", help="replace a dataset of this name")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> None:
    """Make the dataset, and say how to look at it."""
    from pcsc_d2.detect.exchange.fiftyone import to_fiftyone
    from pcsc_d2.detect.page import counted

    dataset = to_fiftyone(args.results, args.name, args.overwrite, not args.quiet)
    print(f"{counted(len(dataset), 'video')}: fiftyone app launch {dataset.name}")
