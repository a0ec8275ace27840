"""Detect actions in your own videos: annotated videos, tubes as JSON and CSV, and a page.

The model is the one that comes with the package, another exported file, which needs no Detectron2
either, or a training run's folder.

    pcsc detect VIDEO... --out results

Exit status: 0; 1 if some video could not be done, or only in part; 2 if nothing can be done (model,
options, output folder); 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcsc_d2.cli.outcome import FINE, PROBLEMS, fail

if TYPE_CHECKING:
    from pcsc_d2.detect.detector import DetectOptions
    from pcsc_d2.detect.inputs import Task
    from pcsc_d2.detect.job import Job, Report
    from pcsc_d2.layers.window_trunk import Sharing

# Key frames of a window that share; the longer, the less its ends weigh.
DENSE_BATCH = 65


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc detect``."""
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="files, folders, patterns; a number for a camera; - for standard input",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="FILE",
        help="an exported file, a name of pcsc models list, a training run's folder, or "
        "config.yaml and weights (default: the model that comes with the package)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_what(parser)
    _add_how(parser)


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is looked at, and what is kept")
    group.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="detect at every Nth frame (default 1); boxes between are interpolated",
    )
    group.add_argument(
        "--from", dest="start", type=seconds, default=0.0, metavar="T", help="seconds, or 1:02:03"
    )
    group.add_argument("--to", dest="end", type=seconds, default=float("inf"), metavar="T")
    group.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="only these")
    group.add_argument(
        "--kinetics",
        action="store_true",
        help="also name each tube by the three best of Kinetics' 400 classes, a guess of another "
        "kind; a model whose RGB trunk is not Kinetics' takes longer for it",
    )
    group.add_argument(
        "--score",
        type=float,
        metavar="S",
        help="tubes of lower scores are dropped (default 0.3)",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is done")
    group.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")
    group.add_argument(
        "--engine",
        choices=("torch", "onnxruntime", "openvino", "auto"),
        help="what runs the network on a CPU (default: torch; for an ONNX file, and with auto, the "
        "fastest that is installed)",
    )
    group.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="bf16 is for openvino, on processors that have it (default: %(default)s)",
    )
    group.add_argument(
        "--batch", type=int, metavar="N", help="key frames that go through the network at once"
    )
    group.add_argument(
        "--dense", action="store_true", help="neighbouring key frames share the trunk's work"
    )
    group.add_argument(
        "--dense-level",
        metavar="LEVEL",
        help="up to which level of the trunk (default: c3 for models with MODEL.I3D.CONTEXT, c2)",
    )
    group.add_argument(
        "--dense-step",
        type=int,
        metavar="N",
        help="its other levels run every N frames, between them averaged (default 4)",
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
    if len(parts) > 3 or not all(part >= 0 for part in parts):  # nan is none either
        raise ValueError(text)
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def run(args: argparse.Namespace) -> int:
    """Detect in all videos, and say what was done."""
    from pcsc_d2.assets import SHIPPED_MODEL
    from pcsc_d2.detect.detector import ActionDetector
    from pcsc_d2.detect.inputs import find_tasks
    from pcsc_d2.detect.job import Job, OutputError, prepare_output
    from pcsc_d2.model_zoo.models import model_files

    sharing, options = _options(args)
    model = model_files(args.model or [SHIPPED_MODEL])
    prepare_output(args.out)
    tasks = find_tasks(args.videos, args.start, args.end)
    how = {"engine": args.engine, "precision": args.precision}
    detector = ActionDetector(model, options, args.device, sharing, **how)
    settings = {**_settings(model, sharing, options), "engine": str(detector.engine)}
    job = Job(detector, args.out, settings, args.resume, not args.quiet)
    try:
        report = _done(job, tasks)
    except OutputError as error:
        if error.__cause__ is None:
            raise
        fail(error)
        return PROBLEMS
    _tell(report, args.out)
    if args.profile:
        print(f"network by {detector.engine}", detector.profile.table(), sep="\n")
    return PROBLEMS if report.problems else FINE


def _options(args: argparse.Namespace) -> tuple[Sharing | None, DetectOptions]:
    """What key frames share, and how videos are looked at; ValueError says what cannot be."""
    from pcsc_d2.detect.detector import DetectOptions
    from pcsc_d2.layers.window_trunk import Sharing

    if args.start >= args.end:
        raise ValueError(f"--from {args.start:g} is not before --to {args.end:g}")
    if args.score is not None and not 0 <= args.score <= 1:
        raise ValueError(f"--score {args.score:g} is not between 0 and 1")
    sharing = Sharing(**_given(level=args.dense_level, step=args.dense_step))
    chosen = _given(
        every=args.every,
        classes=tuple(args.classes),
        min_score=args.score,
        batch=args.batch or (DENSE_BATCH if args.dense else None),
        flow=args.flow,
        kinetics=args.kinetics,
    )
    return sharing if args.dense else None, DetectOptions(**chosen)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _done(job: Job, tasks: Sequence[Task]) -> Report:
    """The report of a job, whose page is written however it ends."""
    try:
        return job.run(tasks)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was finished stays, --resume goes on from there") from None
    finally:
        job.write_page()


def _settings(
    files: Sequence[Path], sharing: Sharing | None, options: DetectOptions
) -> dict[str, Any]:
    """What results depend on, as JSON gives it back."""
    chosen = {k: v for k, v in asdict(options).items() if k != "batch"}
    chosen["classes"] = list(options.classes)
    files = [q for p in files for q in (sorted(p.glob("model_final.pth")) if p.is_dir() else [p])]
    versions = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime] for p in files]
    dense = asdict(sharing) if sharing else None
    return {"model": versions, "dense": dense, "options": chosen}


def _tell(report: Report, out: Path) -> None:
    from pcsc_d2.detect.job import PAGE

    for line in report.lines():
        print(line)
    print(f"page: {out / PAGE}")
