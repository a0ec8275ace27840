"""Generate clips, train a small detector on them, score it, and draw what it found.

Nothing is downloaded. Without Detectron2 the model that comes with the package detects instead.

    pcsc demo --out output/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pcsc_d2.cli.arguments import add_options, named_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc demo``."""
    parser.add_argument("--out", type=named_path, default=Path("output/demo"), metavar="DIR")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    from pcsc_d2.demo.run import demo

    return demo(args.out, args.opts)
