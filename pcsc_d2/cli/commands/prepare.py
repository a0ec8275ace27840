"""Lay out UCF101-24 or J-HMDB under the dataset root, from the files as they are distributed.

Folders, archives and single files, in any number and order, are looked through and linked.

    pcsc prepare ucf101_24 UCF-101/ pyannot.pkl testlist01.txt --root datasets
    pcsc prepare jhmdb JHMDB_video/ puppet_mask.zip splits.zip --root datasets

UCF101-24: the folder or archive of UCF-101 by class, or the frames that ACT-detector and
MOC-detector distribute; pyannot.pkl, finalAnnots.mat or UCF101v2-GT.pkl; the official test list.
J-HMDB: JHMDB_video, Rename_Images, or ACT-detector's frames; puppet_mask with splits, or
JHMDB-GT.pkl, which comes first where both are there.

Exit status: 0 done, 1 clips or flow missing, 2 nothing could be done.
"""

from __future__ import annotations

import argparse
import os

from pcsc_d2.cli.arguments import add_root, named_path, number, whole

# The names of the registered datasets -> those of their folders.
FOLDERS = {"ucf101_24": "ucf24", "jhmdb": "jhmdb"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc prepare``."""
    parser.add_argument("dataset", choices=FOLDERS, metavar="DATASET", help="ucf101_24 or jhmdb")
    parser.add_argument("sources", nargs="+", type=named_path, help="folders, archives, files")
    add_root(parser)
    parser.add_argument("--flow", metavar="NAME", help="convert flow images, as this method")
    parser.add_argument("--flow-bound", type=number(1e-6), default=20.0, metavar="PIXELS",
                        help="that 8-bit pairs of u and v span (%(default)g)")  # fmt: skip
    parser.add_argument(
        "--processes", type=whole(1, 1024), default=os.cpu_count() or 1, metavar="N"
    )


def run(args: argparse.Namespace) -> int:
    """Lay the dataset out, and say what is there now."""
    from pcsc_d2.datasets.prepare import prepare

    folder = FOLDERS[args.dataset]
    report = prepare(args.sources, args.root, folder, args.flow, args.processes, args.flow_bound)
    print(report)
    print(f"next: pcsc check --root {args.root} --dataset {folder} --show 8")
    return 1 if report.missing or report.failed else 0
