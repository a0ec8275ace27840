"""Optical flow ahead of training: compute it, or convert what another program made.

`compute` does what `pcsc train` would do first. `convert` reads .flo files, 8-bit pairs of u and v,
or the images of ACT-detector and MOC-detector, and keeps them as a method of a name of your own.

    pcsc flow compute --config-file jhmdb/pcsc.yaml
    pcsc flow convert FlowBrox04/ --root datasets --dataset jhmdb --method brox

Exit status: 0; 1 if some video's flow could not be made; 2 if nothing could be done.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pcsc_d2.cli.arguments import add_config, add_root, add_subcommand, named_path, number, whole
from pcsc_d2.cli.outcome import FINE, PROBLEMS
from pcsc_d2.model_zoo import find_config

if TYPE_CHECKING:
    from pcsc_d2.flow.store import FlowReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``pcsc flow``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compute(add_subcommand(commands, "compute", _compute))
    _add_convert(add_subcommand(commands, "convert", _convert))


def _add_compute(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--datasets",
        nargs="+",
        metavar="NAME",
        help="registered names (default: DATASETS.TRAIN and DATASETS.TEST of the config)",
    )


def _compute(args: argparse.Namespace) -> int:
    """Compute the flow of a config's datasets that is not on disk yet.

    pcsc flow compute --config-file jhmdb/pcsc.yaml
    """
    from pcsc_d2.data import check_registered, precompute_flow, register_custom_datasets
    from pcsc_d2.models.trained import read_config

    cfg = read_config(find_config(args.config_file), args.opts)
    names = args.datasets or (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    register_custom_datasets()
    check_registered(names)
    return _tell(precompute_flow(cfg, names))


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=named_path, help="with a folder of flow for each video")
    add_root(parser)
    parser.add_argument("--dataset", required=True, metavar="NAME", help="as pcsc check takes it")
    parser.add_argument("--method", required=True, metavar="NAME", help="for INPUT.FLOW.METHOD")
    parser.add_argument(
        "--bound",
        type=number(1e-6),
        default=20.0,
        metavar="PIXELS",
        help="that 8-bit pairs of u and v span (%(default)g)",
    )
    cores = os.cpu_count() or 1
    parser.add_argument("--processes", type=whole(1, 1024), default=cores, metavar="N")


def _convert(args: argparse.Namespace) -> int:
    """Convert flow that another program made (.flo, pairs of images, or three channels).

    pcsc flow convert FlowBrox04/ --root datasets --dataset jhmdb --method brox
    """
    from pcsc_d2.datasets.custom.read import any_files
    from pcsc_d2.datasets.flow import convert_flow
    from pcsc_d2.datasets.repair import AnnotationIssues
    from pcsc_d2.flow.conversion import FlowFiles
    from pcsc_d2.flow.store import FlowStore

    if not args.folder.is_dir():
        raise FileNotFoundError(f"{args.folder}: no such folder of flow")
    files = any_files(args.root, args.dataset)
    truth = files.ground_truth(args.root, AnnotationIssues())
    store = FlowStore(args.root / "flow", FlowFiles(args.method, args.folder, args.bound))
    status = _tell([convert_flow(store, args.root, files, truth, args.processes)])
    print(f"train with it: INPUT.FLOW.METHOD {args.method}")
    return status


def _tell(reports: Sequence[FlowReport]) -> int:
    for report in reports:
        print(report)
    return PROBLEMS if any(report.failed for report in reports) else FINE
