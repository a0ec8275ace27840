"""Write what was detected, or a dataset of your own, as annotations: CVAT, COCO, CSV or AVA.

A person corrects them, and the corrected ones are trained on. With --videos the folder becomes a
dataset that trains as it is.

    pcsc annotations results --format cvat --videos ARCHIVE --out data/mine

Exit status: 0; 2 if nothing can be written.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pcsc_d2.cli.arguments import named_path, number

if TYPE_CHECKING:
    from pcsc_d2.datasets.custom.found import Found
    from pcsc_d2.tubes import GroundTruth

FORMATS = ("csv", "coco", "cvat", "ava")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc annotations``."""
    parser.add_argument(
        "source",
        type=named_path,
        metavar="FOLDER",
        help="what pcsc detect wrote, or a folder with dataset.json",
    )
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", required=True, type=named_path, metavar="DIR", help="is made")
    parser.add_argument(
        "--videos", type=named_path, metavar="DIR", help="link the videos of this folder into it"
    )
    parser.add_argument(
        "--tolerance",
        type=number(0),
        default=1.0,
        metavar="PIXELS",
        help="that a box may be off between two key frames of CVAT (default %(default)g)",
    )
    parser.add_argument(
        "--score", type=number(0, 1), default=0.0, metavar="S", help="of the worst tube"
    )
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> None:
    """Write the annotations, and say how many."""
    from pcsc_d2.datasets.custom.description import DESCRIPTION
    from pcsc_d2.datasets.custom.write import WITH_CROWDS, write_own
    from pcsc_d2.datasets.custom.written import WriteOptions

    if (args.out / DESCRIPTION).exists() or any(args.out.glob("annotations*")):
        raise ValueError(f"{args.out}: annotations are there already; give another --out")
    is_dataset = (args.source / DESCRIPTION).is_file()
    found = _dataset(args) if is_dataset else _found(args)
    options = WriteOptions(not is_dataset, args.tolerance, found.rates)
    truth = found.truth
    videos = _videos(args, truth) if args.videos else {}
    write_own(args.out, truth, videos, args.format, _splits(truth), options)
    if truth.crowds is not None and args.format not in WITH_CROWDS:
        print(f"{len(truth.crowds)} crowds are left out: {args.format} has no place for them")
    linked = f", {len(videos)} of them linked" if args.videos else ""
    print(f"{len(truth.tubes)} tubes in {len(truth.videos)} videos{linked}: {args.out}")


def _found(args: argparse.Namespace) -> Found:
    from pcsc_d2.datasets.custom.found import read_found

    return read_found(args.source, args.score, args.classes, not args.quiet)


def _dataset(args: argparse.Namespace) -> Found:
    """The ground truth of a dataset; rates are looked up where AVA needs them."""
    from pcsc_d2.datasets.custom.found import Found
    from pcsc_d2.datasets.custom.read import custom_files
    from pcsc_d2.datasets.repair import AnnotationIssues
    from pcsc_d2.video.files import find_videos

    if args.score or args.classes:
        raise ValueError("--score and --classes are for what pcsc detect found")
    root, name = args.source.absolute().parent, args.source.absolute().name
    files, issues = custom_files(root, name), AnnotationIssues()
    truth = files.ground_truth(root, issues)
    files.log(issues, root)
    there = find_videos(files.videos(root)) if args.format == "ava" else {}
    return Found(truth, {name: _rate(there[name]) for name in truth.videos.tolist() if there})


def _rate(path: Path) -> float:
    from pcsc_d2.video.decoding import open_reader

    reader = open_reader(path, "coded")
    reader.close()
    return reader.rate


def _videos(args: argparse.Namespace, truth: GroundTruth) -> dict[str, Path]:
    """The videos by name; ValueError where one that has tubes is not there."""
    from pcsc_d2.video.files import find_videos

    there = find_videos(args.videos)
    names = truth.videos.tolist()
    absent = [name for name in names if name not in there]
    if absent:
        raise ValueError(
            f"{args.videos}: {len(absent)} of {len(names)} videos are not there by their names "
            f"(the first: {absent[0]}); give the folder that pcsc detect was given"
        )
    return {name: there[name] for name in names}


def _splits(truth: GroundTruth) -> dict[str, list[str]]:
    """The sides of a dataset that had some; all that was detected is for training."""
    sides = zip(("train", "test"), (truth.train, truth.test))
    known = {name: side[0] for name, side in sides if side and side[0]}
    return known or {"train": ["*"]}
