"""Compute the maps that training on frozen features looks at, ahead of it.

The trunks of a config look at the key frames of its datasets once; what they make of them is kept
on disk in half precision, for every run with the same trunks, clips and flow. What is there is not
made again, and an interrupted run goes on.

    pcsc features --config-file jhmdb/frozen.yaml

Exit status: 0; 2 if nothing could be done.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import Names, add_config, add_launch
from pcsc_d2.cli.launching import launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc features``."""
    add_config(parser)
    parser.add_argument(
        "--datasets",
        nargs="+",
        action=Names,
        metavar="NAME",
        help="whose key frames are all wanted (default: DATASETS.TEST, and of DATASETS.TRAIN those "
        "that are trained on)",
    )
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Compute what is missing, on as many GPUs as asked for."""
    from pcsc_d2.engine.features import make_features

    return launched(make_features, args)
