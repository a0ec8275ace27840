"""Teach two streams to find together from when to when an action lasts: temporal cooperation.

The detector stays as it is. It runs over the training videos (all GPUs share them; features go to
OUTPUT_DIR/segments, at most SOLVER.ACTIONNESS.DISK_MB); segments of its tubes are found by both
streams' features, which help each other stage by stage, and tubes are cut to them. The threshold is
chosen on training videos that were held back, and OUTPUT_DIR/model_final.pth holds detector,
segments' network and choice. --resume goes on where an interrupted run stopped.

    pcsc train-segments --config-file output/x/config.yaml \\
        MODEL.WEIGHTS output/x/model_final.pth OUTPUT_DIR output/x_segments
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_config, add_launch
from pcsc_d2.cli.launching import launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc train-segments``."""
    add_config(parser)
    parser.add_argument("--resume", action="store_true", help="go on where OUTPUT_DIR stopped")
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Train the segments' network, on as many GPUs as asked for."""
    from pcsc_d2.engine.segments.train import main

    return launched(main, args)
