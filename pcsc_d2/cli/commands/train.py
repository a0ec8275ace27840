"""Train or evaluate a two-stream action detector, as any Detectron2 project does.

Optical flow is computed first, and training that was interrupted goes on with --resume.

    pcsc train --config-file jhmdb/quick.yaml OUTPUT_DIR output/quick
    pcsc train --config-file jhmdb/quick.yaml --eval-only MODEL.WEIGHTS output/quick/model_final.pth
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_config, add_launch
from pcsc_d2.cli.launching import launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc train``."""
    add_config(parser)
    parser.add_argument("--resume", action="store_true", help="go on where OUTPUT_DIR stopped")
    parser.add_argument("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS")
    add_launch(parser)


def run(args: argparse.Namespace) -> int:
    """Train or evaluate, on as many GPUs as asked for."""
    from pcsc_d2.engine.schedule import check_batch
    from pcsc_d2.engine.train import train
    from pcsc_d2.model_zoo import get_config
    from pcsc_d2.parallel import started_by_torchrun

    if not args.eval_only and not started_by_torchrun():
        # Before processes start, each of which would say so by itself.
        processes = max(1, args.num_gpus * args.num_machines)
        check_batch(get_config(args.config_file, args.opts), processes)
    return launched(train, args)
