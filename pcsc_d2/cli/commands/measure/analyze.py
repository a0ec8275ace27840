"""Count what a model is made of: parameters, FLOPs and activations by part.

No data and no weights are needed; the counts are of one key frame with as many boxes as the config
lets through.

    pcsc analyze --config-file jhmdb/pcsc.yaml
    pcsc analyze --config-file jhmdb/pcsc.yaml --size 480 640 INPUT.MIN_SIZE_TEST 320
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pcsc_d2.cli.arguments import add_config, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc analyze``."""
    add_config(parser)
    parser.add_argument(
        "--size",
        type=whole(1, 1 << 13),
        nargs=2,
        default=(240, 320),
        metavar=("HEIGHT", "WIDTH"),
        help="of the video's frames (240 320)",
    )
    parser.add_argument("--structure", action="store_true", help="print the modules, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts")


def run(args: argparse.Namespace) -> None:
    """Count, and print a table."""
    from pcsc_d2.engine.analysis import analyze

    analyze(args)
