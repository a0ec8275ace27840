"""Detect actions in one's own videos: annotated videos, tubes as JSON and CSV, and a page.

python -m pcsc_d2.detect VIDEO... --model model.pt --out results
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pcsc_d2.detect.detector import ActionDetector, DetectOptions
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.job import PAGE, Job, OutputError, Report, prepare_output
from pcsc_d2.layers.window_trunk import LEVELS, Sharing
from pcsc_d2.models.clip_model import ModelError

# Key frames of a window that share; the longer, the less its ends weigh.
DENSE_BATCH = 65
FINE, PROBLEMS, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0; 1 if some video could not be done, or only in part; 2 if nothing can be done (model,
        options, output folder); 130 after Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except (ModelError, OutputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return PROBLEMS if isinstance(error, OutputError) and error.__cause__ else UNUSABLE
    except KeyboardInterrupt:
        print("interrupted; what was finished stays, --resume goes on from there", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pcsc_d2.detect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="files, folders, patterns; a number for a camera; - for standard input",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        required=True,
        metavar="FILE",
        help="an exported file; or a training run's folder, or config.yaml and weights",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_what(parser)
    _add_how(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    default = DetectOptions()
    group = parser.add_argument_group("what is looked at, and what is kept")
    group.add_argument(
        "--every",
        type=int,
        default=default.every,
        metavar="N",
        help="detect at every Nth frame; boxes between are interpolated",
    )
    group.add_argument(
        "--from", dest="start", type=seconds, default=0.0, metavar="T", help="seconds, or 1:02:03"
    )
    group.add_argument("--to", dest="end", type=seconds, default=float("inf"), metavar="T")
    group.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="only these")
    group.add_argument(
        "--score",
        type=float,
        default=default.min_score,
        metavar="S",
        help="tubes of lower scores are dropped (default %(default)s)",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is done")
    group.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")
    group.add_argument(
        "--batch", type=int, metavar="N", help="key frames that go through the network at once"
    )
    default = Sharing()
    group.add_argument(
        "--dense", action="store_true", help="neighbouring key frames share the trunk's work"
    )
    group.add_argument(
        "--dense-level",
        default=default.level,
        choices=LEVELS,
        help="up to which level of the trunk (default: c3 for models with MODEL.I3D.CONTEXT, c2)",
    )
    group.add_argument(
        "--dense-step",
        type=int,
        default=default.step,
        metavar="N",
        help="its other levels run every N frames, between them averaged (default %(default)s)",
    )
    group.add_argument("--flow", default="", metavar="METHOD", help="default: as in training")
    group.add_argument(
        "--resume", action="store_true", help="leave out videos whose results are there"
    )
    group.add_argument("--profile", action="store_true", help="print the time of each part")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def seconds(text: str) -> float:
    """A time as ``90``, ``1:30`` or ``0:01:30.5``; ValueError where it is none."""
    parts = [float(part) for part in text.split(":")]
    if len(parts) > 3 or min(parts) < 0:
        raise ValueError(text)
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _run(args: argparse.Namespace) -> int:
    if args.start >= args.end:
        raise ValueError(f"--from {args.start:g} is not before --to {args.end:g}")
    if not 0 <= args.score <= 1:
        raise ValueError(f"--score {args.score:g} is not between 0 and 1")
    sharing = Sharing(args.dense_level, args.dense_step) if args.dense else None
    batch = args.batch or (DENSE_BATCH if sharing else DetectOptions().batch)
    options = DetectOptions(args.every, tuple(args.classes), args.score, batch, args.flow)
    prepare_output(args.out)
    tasks = find_tasks(args.videos, args.start, args.end)
    detector = ActionDetector(args.model, options, args.device, sharing)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = Job(
        detector, args.out, _settings(args.model, sharing, options), args.resume, not args.quiet
    )
    try:
        report = job.run(tasks)
    finally:
        job.write_page()
    _tell(report, args.out)
    if args.profile:
        print(detector.profile.table())
    return PROBLEMS if report.problems else FINE


def _settings(
    model: Sequence[str], sharing: Sharing | None, options: DetectOptions
) -> dict[str, Any]:
    """What results depend on, as JSON gives it back."""
    chosen = {k: v for k, v in asdict(options).items() if k != "batch"}
    chosen["classes"] = list(options.classes)
    files = [Path(p) for p in model]
    files = [q for p in files for q in (sorted(p.glob("model_final.pth")) if p.is_dir() else [p])]
    versions = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime] for p in files]
    dense = asdict(sharing) if sharing else None
    return {"model": versions, "dense": dense, "options": chosen}


def _tell(report: Report, out: Path) -> None:
    counts = f"{len(report.done)} done"
    if report.resumed:
        counts += f", {len(report.resumed)} were done before"
    if report.problems:
        counts += f", {len(report.problems)} with problems:"
    print(counts)
    for problem in report.problems:
        print(f"  {problem}")
    print(f"page: {out / PAGE}")


if __name__ == "__main__":
    sys.exit(main())
