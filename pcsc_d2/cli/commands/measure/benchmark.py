"""Time loading, training and evaluating with a config on this machine.

Training and evaluating go through a few batches again and again, so that loading is not counted
in. Flow that is not there yet is computed on the way: pcsc flow compute makes it first, as pcsc
train does.

    pcsc benchmark --config-file jhmdb/pcsc.yaml
    pcsc benchmark --config-file jhmdb/pcsc.yaml --task train SOLVER.AMP.ENABLED True
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_config, whole
from pcsc_d2.cli.launching import check_device

TASKS = ("data", "train", "evaluate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc benchmark``."""
    add_config(parser)
    parser.add_argument(
        "--task",
        action="append",
        choices=TASKS,
        metavar="TASK",
        help=f"one of {', '.join(TASKS)}, given once or more (all)",
    )
    parser.add_argument(
        "--iterations", type=whole(1), default=20, metavar="N", help="that are timed (%(default)s)"
    )
    parser.add_argument(
        "--warmup", type=whole(0), default=3, metavar="N", help="before these (%(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Time, and print a table."""
    from pcsc_d2.engine.benchmark import benchmark
    from pcsc_d2.model_zoo import get_config

    check_device(get_config(args.config_file, args.opts).MODEL.DEVICE, 1)
    benchmark(args, args.task or TASKS)
