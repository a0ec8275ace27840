"""Make one file of a trained detector that runs with torch and torchvision alone.

The file holds the network with its preprocessing, and the names of the classes. It takes images of
any size and any number of clips. What it answers is compared with the model's own before it is
written.

    pcsc export --config-file jhmdb/pcsc.yaml --out model.pt \\
        MODEL.WEIGHTS output/jhmdb_pcsc/model_final.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pcsc_d2.cli.arguments import add_config
from pcsc_d2.model_zoo import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc export``."""
    add_config(parser)
    parser.add_argument("--out", type=Path, default=Path("model.pt"), metavar="FILE")
    parser.add_argument("--note", default="", help="what the model is; shown to whoever uses it")
    parser.add_argument("--labels", metavar="A,B,C", help="class names, where no dataset says them")


def run(args: argparse.Namespace) -> None:
    """Export, and say what was written."""
    from pcsc_d2.export.checkpoint import export

    labels = args.labels.split(",") if args.labels else None
    print(export(find_config(args.config_file), args.opts, args.out, args.note, labels))
