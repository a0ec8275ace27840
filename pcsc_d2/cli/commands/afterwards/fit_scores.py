"""Fit how a trained detector's heads are put together: learned late fusion, or temperatures.

The detector stays as it is. It runs over a few key frames of each video of DATASETS.SCORES (those
of training where none is named); OUTPUT_DIR/model_final.pth then holds detector and fit. What is
fitted is what the config has: MODEL.FUSION.NAME ClassWeightsFusion or FullyConnectedFusion, or
MODEL.COOPERATION.CALIBRATED True for a detector with stages.

    pcsc fit-scores --config-file output/x/config.yaml MODEL.FUSION.NAME FullyConnectedFusion \\
        MODEL.WEIGHTS output/x/model_final.pth OUTPUT_DIR output/x_fused
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_config, add_launch
from pcsc_d2.cli.launching import launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc fit-scores``."""
    add_config(parser)
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Collect and fit, on as many GPUs as asked for."""
    from pcsc_d2.engine.scores.train import main

    return launched(main, args)
