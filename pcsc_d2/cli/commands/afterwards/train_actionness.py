"""Teach a trained detector where actions begin and end: its actionness head, and how tubes are cut.

The detector stays as it is. It runs over the training videos (all GPUs share them; features go to
OUTPUT_DIR/actionness, at most SOLVER.ACTIONNESS.DISK_MB), the head is fitted, the median window
and the threshold are chosen on training videos that were held back, and
OUTPUT_DIR/model_final.pth holds detector, head and choice. --resume goes on where an interrupted
run stopped.

    pcsc train-actionness --config-file output/x/config.yaml \\
        MODEL.WEIGHTS output/x/model_final.pth OUTPUT_DIR output/x_actionness
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_config, add_launch
from pcsc_d2.cli.launching import launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc train-actionness``."""
    add_config(parser)
    parser.add_argument("--resume", action="store_true", help="go on where OUTPUT_DIR stopped")
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Train the head, on as many GPUs as asked for."""
    from pcsc_d2.engine.actionness.train import main

    return launched(main, args)
