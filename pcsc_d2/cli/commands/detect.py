"""Detect actions in your own videos: annotated videos, tubes as JSON and CSV, and a page.

The model is the one that comes with the package, another exported file, which needs no Detectron2
either, or a training run's folder.

    pcsc detect VIDEO... --out results

Thousands of videos go to several processes or machines, each of which does its share of one output
folder; --merge then makes the page and the table of it.

    pcsc detect ARCHIVE --out results --share 1/3
    pcsc detect --merge results

A camera, a stream or a file in real time, with boxes as they come on a page of this machine:

    pcsc detect 0 --serve 8000

Exit status: 0; 1 if some video could not be done, or only in part; 2 if nothing can be done (model,
options, output folder); 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pcsc_d2.cli.arguments import named_path, number, whole
from pcsc_d2.cli.outcome import FINE, PROBLEMS, fail

if TYPE_CHECKING:
    from pcsc_d2.detect.archive.output import Output
    from pcsc_d2.detect.archive.plan import Plan
    from pcsc_d2.detect.archive.ray_pool import Pool
    from pcsc_d2.detect.archive.report import Report
    from pcsc_d2.detect.archive.shares import Share
    from pcsc_d2.detect.archive.table import Totals
    from pcsc_d2.detect.inputs import Task

# Key frames of a window that share; the longer, the less its ends weigh.
DENSE_BATCH = 65
# Problems that --merge prints; the page has more of them.
_MOST_PROBLEMS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc detect``."""
    parser.add_argument(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="files, folders, patterns, .txt lists; a number for a camera; - for standard input",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="FILE",
        help="an exported file, a name of pcsc models list, hf://OWNER/NAME, a training run's "
        "folder, or config.yaml and weights (default: the model that comes with the package)",
    )
    parser.add_argument(
        "--out", type=named_path, metavar="DIR", help="gets a folder for each video, and the page"
    )
    _add_what(parser)
    _add_how(parser)
    _add_where(parser)
    _add_live(parser)


def _add_what(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is looked at, and what is kept")
    group.add_argument(
        "--every",
        type=whole(1),
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
        "--persons",
        action="store_true",
        help="also number the actors: tubes of all classes that follow one are one person's",
    )
    group.add_argument(
        "--score",
        type=number(0, 1),
        metavar="S",
        help="tubes of lower scores are dropped (default 0.3)",
    )
    group.add_argument(
        "--urls", action="store_true", help="VIDEO and lists may be addresses (http, https)"
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is done")
    group.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")
    group.add_argument(
        "--engine",
        choices=("torch", "onnxruntime", "openvino", "auto"),
        default="auto",
        help="what runs the network on a CPU; auto is the fastest that is installed, and torch for "
        "I3D and small models (default: %(default)s)",
    )
    group.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="bf16 is for openvino, on processors that have it (default: %(default)s)",
    )
    group.add_argument(
        "--batch",
        type=whole(1, 1 << 12),
        metavar="N",
        help="key frames that go through the network at once",
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
        type=whole(1),
        metavar="N",
        help="its other levels run every N frames, between them averaged (default 4)",
    )
    group.add_argument("--flow", default="", metavar="METHOD", help="default: as in training")
    group.add_argument(
        "--resume", action="store_true", help="leave out videos whose results are there"
    )
    group.add_argument("--profile", action="store_true", help="print the time of each part")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_where(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("archives: several processes, one output folder")
    group.add_argument("--share", metavar="I/N", help="do the Ith of N shares; each has no page")
    group.add_argument(
        "--merge",
        type=named_path,
        metavar="DIR",
        help="make the page and the table of an output folder",
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="do it on a Ray cluster (auto, HOST:PORT); without an address, on this machine",
    )
    group.add_argument(
        "--workers", type=whole(1, 1 << 16), metavar="N", help="with --ray (default 1)"
    )
    group.add_argument(
        "--gpus-per-worker",
        type=number(0, 1024),
        metavar="G",
        help="with --ray: 1, 0.5, ... (default 0)",
    )
    group.add_argument(
        "--cpus-per-worker",
        type=number(0, 1024),
        metavar="C",
        help="with --ray, without GPUs (default 1)",
    )


def _add_live(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("live: VIDEO is a camera, an address (rtsp, http) or a file")
    group.add_argument(
        "--serve",
        type=whole(0, 65535),
        metavar="PORT",
        help="show boxes as they come on a page of this machine; 0 takes a free port",
    )
    group.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="where the page is (%(default)s)"
    )
    group.add_argument(
        "--record",
        type=whole(1, 1 << 20),
        metavar="MINUTES",
        help="keep the last minutes of what is shown in --out, a file for each",
    )


def seconds(text: str) -> float:
    """A time as ``90``, ``1:30`` or ``0:01:30.5``; ValueError where it is none."""
    parts = [float(part) for part in text.split(":")]
    if len(parts) > 3 or not all(part >= 0 for part in parts):  # nan is none either
        raise ValueError(text)
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def run(args: argparse.Namespace) -> int:
    """Detect in all videos, and say what was done."""
    from pcsc_d2.detect.archive.output import Output, OutputError

    if args.merge is not None:
        return _merge(args)
    if args.serve is not None:
        return _serve(args)
    _check_given(args)
    plan, share, pool = _plan(args), _share(args), _pool(args)
    output = Output(args.out)
    try:
        return _detect(args, plan, share, pool, output)
    except OutputError as error:
        if error.__cause__ is None:
            raise
        fail(error)
        return PROBLEMS
    finally:
        output.close()


def _merge(args: argparse.Namespace) -> int:
    """Make the page and the table of what is in an output folder."""
    from pcsc_d2.detect.archive.layout import JOURNAL, PAGE
    from pcsc_d2.detect.archive.output import Output
    from pcsc_d2.detect.results import SUMMARY

    if args.videos or args.share or args.ray:
        raise ValueError("--merge looks at what is done; give it the output folder alone")
    if not args.merge.is_dir():
        raise FileNotFoundError(f"{args.merge}: no such output folder")
    if not any(args.merge.glob(JOURNAL)) and not any(args.merge.glob(f"*/{SUMMARY}")):
        raise ValueError(f"{args.merge}: no job has written to this folder")
    output = Output(args.merge)
    try:
        totals = output.finish(not args.quiet, look_for_more=True)
    finally:
        output.close()
    for problem in totals.problems[:_MOST_PROBLEMS]:
        print(f"  {problem}")
    print(f"{totals.videos} videos, {totals.tubes} tubes, {len(totals.problems)} with problems")
    print(f"page: {args.merge / PAGE}")
    _note(totals)
    return PROBLEMS if totals.problems else FINE


def _serve(args: argparse.Namespace) -> int:
    """Watch a live source, and show it."""
    from dataclasses import replace

    from pcsc_d2.detect.live.capture import Capture
    from pcsc_d2.detect.live.feeds import feed_of
    from pcsc_d2.detect.live.session import LiveOptions, run_live

    if len(args.videos) != 1:
        raise ValueError("--serve shows one VIDEO: a camera's number, an address or a file")
    if args.share or args.ray or args.resume or args.persons or args.start:
        raise ValueError(
            "--serve watches what comes; leave out --share, --ray, --resume, --persons and --from"
        )
    if (args.record is None) != (args.out is None):
        raise ValueError("--record MINUTES and --out DIR go together with --serve")
    plan, feed = _plan(args), feed_of(args.videos[0])
    plan = replace(plan, options=replace(plan.options, batch=args.batch or 1))
    options = LiveOptions(
        args.serve, args.host, args.out, **_given(minutes=args.record, min_score=args.score)
    )
    detector, capture = plan.detector(), Capture(feed)
    status = run_live(capture, detector, replace(options, end=args.end), _say)
    print(f"{status.came} frames came, {status.dropped} were dropped; lag {status.lag:.2f} s")
    if capture.problem:
        print(f"{capture.name}: {capture.problem}")
    return PROBLEMS if capture.problem else FINE


def _say(line: str) -> None:
    print(line, flush=True)


def _check_given(args: argparse.Namespace) -> None:
    if not args.videos:
        raise ValueError("name a VIDEO: a file, a folder, a list, or - for standard input")
    if args.out is None:
        raise ValueError("--out DIR is missing; it gets a folder for each video, and the page")
    if args.ray is None:
        for name in ("workers", "gpus_per_worker", "cpus_per_worker"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')} is for --ray")
    if args.record is not None:
        raise ValueError("--record is for --serve")
    if args.ray is not None and args.profile:
        raise ValueError("--profile looks at one process; leave --ray out")


def _share(args: argparse.Namespace) -> Share | None:
    from pcsc_d2.detect.archive.shares import Share

    if args.share is not None and args.ray is not None:
        raise ValueError("--ray shares the videos itself; leave --share out")
    return None if args.share is None else Share.parse(args.share)


def _pool(args: argparse.Namespace) -> Pool | None:
    from pcsc_d2.detect.archive.ray_pool import Pool

    if args.ray is None:
        return None
    given = {"workers": args.workers, "gpus": args.gpus_per_worker, "cpus": args.cpus_per_worker}
    return Pool(args.ray, **_given(**given))


def _plan(args: argparse.Namespace) -> Plan:
    """How videos are looked at; ValueError says what cannot be."""
    from pcsc_d2.assets import SHIPPED_MODEL
    from pcsc_d2.detect.archive.plan import Plan
    from pcsc_d2.detect.detector import DetectOptions
    from pcsc_d2.layers.window_trunk import Sharing
    from pcsc_d2.model_zoo.models import model_files

    if args.start >= args.end:
        raise ValueError(f"--from {args.start:g} is not before --to {args.end:g}")
    sharing = Sharing(**_given(level=args.dense_level, step=args.dense_step))
    chosen = _given(
        every=args.every,
        classes=tuple(args.classes),
        min_score=args.score,
        batch=args.batch or (DENSE_BATCH if args.dense else None),
        flow=args.flow,
        kinetics=args.kinetics,
        persons=args.persons,
    )
    dense = sharing if args.dense else None
    how = (args.device, dense, args.engine, args.precision)
    model = map(str, model_files(args.model or [SHIPPED_MODEL]))
    return Plan(tuple(model), DetectOptions(**chosen), *how)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _detect(
    args: argparse.Namespace, plan: Plan, share: Share | None, pool: Pool | None, output: Output
) -> int:
    from pcsc_d2.detect.archive.layout import PAGE
    from pcsc_d2.detect.inputs import find_tasks

    tasks = find_tasks(args.videos, args.start, args.end, args.urls, args.out)
    if share is not None:
        tasks = [task for task in tasks if share.holds(task.folder)]
    work, table = _work(args, plan, pool, output, page=share is None)
    report, totals = _done(work, tasks, output, share is None, not args.quiet)
    for line in report.lines():
        print(line)
    if totals is None:
        print(f"share {args.share} is done; when all are: pcsc detect --merge {args.out}")
    else:
        print(f"page: {args.out / PAGE}")
        _note(totals)
    if args.profile:
        print(table())
    return PROBLEMS if report.problems else FINE


def _work(
    args: argparse.Namespace, plan: Plan, pool: Pool | None, output: Output, page: bool
) -> tuple[Callable[[Sequence[Task]], Report], Callable[[], str]]:
    """What does the job, and what then tells the time of its parts."""
    from pcsc_d2.detect.archive.ray_pool import run_on_ray
    from pcsc_d2.detect.job import Job
    from pcsc_d2.detect.profile import Profile

    progress = not args.quiet
    if pool is not None:
        return lambda tasks: run_on_ray(pool, plan, output, tasks, args.resume, progress), str
    detector = plan.detector(Profile() if args.profile else None)
    job = Job(detector, output, plan.settings(detector), args.resume, progress, page)
    return job.run, lambda: f"network by {detector.engine}\n{detector.profile.table()}"


def _done(
    work: Callable[[Sequence[Task]], Report],
    tasks: Sequence[Task],
    output: Output,
    finish: bool,
    progress: bool,
) -> tuple[Report, Totals | None]:
    """How a job went, and what there is now; pages and tables are written however it ends."""
    totals = None
    try:
        report = work(tasks)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was finished stays, --resume goes on from there") from None
    finally:
        if finish:
            totals = output.finish(progress)
    return report, totals


def _note(totals: Totals) -> None:
    if totals.without_parquet and totals.tubes:
        print(f"no tubes.parquet: {totals.without_parquet}")
