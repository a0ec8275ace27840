"""Link, score, convert, show and average what any detector found; needs NumPy alone.

pcsc tubes link --detections detections.npz --out tubes.npz
pcsc tubes score --detections detections.npz --ground-truth JHMDB-GT.pkl --split 1
pcsc tubes convert FOLDER_OF_ACT_PICKLES detections.npz --ground-truth JHMDB-GT.pkl
pcsc tubes show tubes.npz
pcsc tubes average SPLIT1 SPLIT2 SPLIT3 --json mean.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pcsc_d2.cli.arguments import add_subcommand, named_path, number, whole
from pcsc_d2.tubes.convert import from_coco_results, from_frame_pickles
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.export import to_csv, to_json
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.linking.offline import link
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.refinement import Refinement, RefineOptions
from pcsc_d2.tubes.scoring.averaging import average_results
from pcsc_d2.tubes.scoring.metrics import FRAME_IOUS
from pcsc_d2.tubes.scoring.protocol import PROTOCOLS
from pcsc_d2.tubes.scoring.results import score
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.tubes.summary import summary
from pcsc_d2.utils.files import atomic_write, load_arrays


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``pcsc tubes``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_link(add_subcommand(commands, "link", _link))
    _add_score(add_subcommand(commands, "score", _score))
    _add_convert(add_subcommand(commands, "convert", _convert))
    _add_show(add_subcommand(commands, "show", _show))
    _add_average(add_subcommand(commands, "average", _average))


def _add_link_options(parser: argparse.ArgumentParser) -> None:
    default = LinkOptions()
    parser.add_argument(
        "--gap",
        type=whole(1),
        default=default.gap,
        help="frames without a detection that end a tube",
    )
    parser.add_argument(
        "--min-length",
        type=whole(1),
        default=default.min_length,
        help="frames of the shortest tube",
    )
    parser.add_argument("--interpolate", action="store_true", help="fill gaps linearly")
    parser.add_argument(
        "--temporal-labelling",
        type=number(0),
        metavar="ALPHA",
        help="off by default; Singh et al.: 3",
    )
    parser.add_argument(
        "--actionness-threshold",
        type=number(0, 1),
        metavar="A",
        help="refine the tubes by the detections' actionness; off by default",
    )
    parser.add_argument(
        "--actionness-window",
        type=whole(1),
        metavar="FRAMES",
        default=RefineOptions().window,
        help="of the median filter over it (default %(default)s; 1 for none)",
    )
    parser.add_argument("--processes", type=whole(1, 1024), default=1)


def _add_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detections", required=True, type=named_path)
    parser.add_argument("--out", required=True, type=named_path, help="tubes (.npz)")
    _add_link_options(parser)


def _linked(detections: Detections, options: argparse.Namespace) -> Tubes:
    link_options = LinkOptions(
        gap=options.gap,
        min_length=options.min_length,
        interpolate=options.interpolate,
        temporal_alpha=options.temporal_labelling,
    )
    tubes = link(detections, link_options, options.processes, progress=True)
    if options.actionness_threshold is None:
        return tubes
    refinement = Refinement.of(
        tubes,
        RefineOptions(options.actionness_threshold, options.actionness_window, options.min_length),
    )
    print(refinement.summary(), file=sys.stderr)
    return refinement.tubes


def _link(options: argparse.Namespace) -> None:
    """Link frame detections into action tubes.

    pcsc tubes link --detections detections.npz --out tubes.npz
    """
    tubes = _linked(Detections.load(options.detections), options)
    tubes.save(options.out)
    print(f"{len(tubes)} tubes in {len(tubes.videos)} videos: {options.out}")


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detections", required=True, type=named_path)
    parser.add_argument("--ground-truth", required=True, type=named_path)
    parser.add_argument(
        "--tubes", type=named_path, help="without it, the detections are linked here"
    )
    parser.add_argument(
        "--split",
        type=whole(0),
        default=1,
        help="test videos of this split (default 1); 0: all videos",
    )
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="act")
    parser.add_argument(
        "--frame-ious",
        type=number(0, 1),
        nargs="+",
        default=FRAME_IOUS,
        metavar="IOU",
        help="of frame mAP, beside 0.5:0.95 (0.5 0.75)",
    )
    parser.add_argument("--json", type=named_path, metavar="OUT", help="write the scores")
    parser.add_argument("--page", type=named_path, metavar="OUT", help="write a page (.html)")
    _add_link_options(parser)


def _score(options: argparse.Namespace) -> None:
    """Give frame mAP, video mAP and where the error is, as the published evaluators do.

    pcsc tubes score --detections detections.npz --ground-truth JHMDB-GT.pkl --json scores.json
    """
    detections = Detections.load(options.detections)
    truth = GroundTruth.load(options.ground_truth)
    truth = truth.split(options.split, "test") if options.split else truth
    tubes = Tubes.load(options.tubes) if options.tubes else _linked(detections, options)
    results = score(truth, detections, tubes, options.protocol, options.frame_ious)
    print(results.table())
    if options.json:
        results.save(options.json)
    if options.page:
        from pcsc_d2.tubes.report.page import report_page

        with atomic_write(options.page, "w") as file:
            file.write(report_page(results, title=options.detections.stem))


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=named_path, help=".npz, COCO results, or a folder of pickles"
    )
    parser.add_argument("target", type=named_path, help=".npz (detections), .json or .csv")
    parser.add_argument(
        "--ground-truth", type=named_path, help="names, lengths and labels of the videos"
    )
    parser.add_argument(
        "--images", type=named_path, help="COCO annotations that the results refer to"
    )
    parser.add_argument(
        "--split",
        type=whole(0),
        default=1,
        help="test videos of this split (default 1); 0: all videos",
    )


def _convert(options: argparse.Namespace) -> None:
    """Convert detections of ACT-detector, MOC-detector or COCO; or anything to JSON or CSV.

    pcsc tubes convert FOLDER_OF_ACT_PICKLES detections.npz --ground-truth JHMDB-GT.pkl
    pcsc tubes convert tubes.npz tubes.json
    """
    writers = {".npz": lambda what, path: what.save(path), ".json": to_json, ".csv": to_csv}
    if options.target.suffix not in writers:
        raise ValueError(f"{options.target}: expected a name that ends in {', '.join(writers)}")
    if options.source.is_dir() or options.source.suffix == ".json":
        what = _import(options)
    else:
        what = _load(options.source)
        what = what.tubes if isinstance(what, GroundTruth) else what
    writers[options.target.suffix](what, options.target)
    print(f"{len(what)} {type(what).__name__.lower()}: {options.target}")


def _import(options: argparse.Namespace) -> Detections:
    if options.ground_truth is None:
        raise ValueError(f"{options.source}: give --ground-truth, for the names of the videos")
    truth = GroundTruth.load(options.ground_truth)
    truth = truth.split(options.split, "test") if options.split else truth
    if options.source.is_dir():
        return from_frame_pickles(options.source, truth, progress=True)
    return from_coco_results(options.source, truth, options.images)


def _load(path: Path) -> Detections | Tubes | GroundTruth:
    if path.suffix == ".pkl":
        return GroundTruth.load(path)
    is_tubes = "ptr" in load_arrays(path, (), ("ptr",))
    return Tubes.load(path) if is_tubes else Detections.load(path)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=named_path, help="detections or tubes (.npz), ground truth (.pkl)"
    )
    parser.add_argument("--video", help="only this one; its tubes one by one")


def _show(options: argparse.Namespace) -> None:
    """Show what a file holds: detections, tubes or ground truth.

    pcsc tubes show tubes.npz --video run/a
    """
    print(summary(_load(options.file), options.video))


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=named_path, help="results.json, or its folder")
    parser.add_argument("--json", type=named_path, metavar="OUT", help="write the mean")


def _average(options: argparse.Namespace) -> None:
    """Average the results of several splits, as papers do.

    pcsc tubes average output/split1 output/split2 output/split3 --json mean.json
    """
    average = average_results(options.results)
    print(average.table())
    if options.json:
        average.save(options.json)
