"""Teach two streams to find together from when to when an action lasts: temporal cooperation.

The detector stays as it is. It runs over the training videos and those of DATASETS.TEST; segments
of its tubes are found by both streams' features, which help each other stage by stage, and tubes
are cut to them. OUTPUT_DIR has segments.pth, and results and tubes under inference.

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
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Collect, fit and score."""
    from pcsc_d2.engine.segments.train import main

    return launched(main, args)
