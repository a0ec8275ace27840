"""Score a trained detector on registered datasets: frame mAP, video mAP, and a page.

The model is an exported file, a name of `pcsc models list`, or a training run's folder. Of an
exported file the scores say what storing its weights in fewer bits has lost. With --dense or
--engine videos are looked at as `pcsc detect` looks at them, which is faster.

    pcsc evaluate --model model.pt --datasets jhmdb_split1_test --dense --out output/evaluated

Exit status: 0; 2 if nothing could be scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pcsc_d2.cli.arguments import Names, add_options, named_path, whole
from pcsc_d2.cli.commands.detect import DENSE_BATCH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc evaluate``."""
    parser.add_argument("--model", required=True, metavar="FILE", help="or name, or folder")
    parser.add_argument(
        "--datasets",
        nargs="+",
        action=Names,
        required=True,
        metavar="NAME",
        help="whose clips are looked at",
    )
    parser.add_argument(
        "--out",
        type=named_path,
        default=Path("output/evaluated"),
        metavar="DIR",
        help="(%(default)s)",
    )
    parser.add_argument("--dense", action="store_true", help="as pcsc detect --dense")
    parser.add_argument("--dense-step", type=whole(1), metavar="N", help="as in pcsc detect")
    parser.add_argument("--engine", metavar="NAME", help="as in pcsc detect")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the scores."""
    from pcsc_d2.model_zoo.models import model_files

    place = Path(args.model)
    (file,) = [place] if place.is_dir() else model_files([args.model])
    if args.dense or args.engine:
        return _detect(file, args)
    if file.is_dir():
        return _evaluate_run(file, args)
    if not file.is_file():
        raise ValueError(f"{file}: no such model; give an exported file, a name or a folder")
    from pcsc_d2.experiments.exported_scores import exported_scores

    exported_scores(file, args.datasets, args.out, args.opts)
    return 0


def _detect(model: Path, args: argparse.Namespace) -> int:
    from pcsc_d2.detect.detector import ActionDetector, DetectOptions
    from pcsc_d2.experiments.detected_scores import detected_scores
    from pcsc_d2.layers.window_trunk import Sharing

    step = {} if args.dense_step is None else {"step": args.dense_step}
    dense = Sharing(**step) if args.dense else None
    options = DetectOptions(batch=DENSE_BATCH) if dense else DetectOptions()
    detector = ActionDetector(model, options, dense=dense, engine=args.engine)
    detected_scores(detector, args.datasets, args.out, args.opts)
    return 0


def _evaluate_run(folder: Path, args: argparse.Namespace) -> int:
    from pcsc_d2.engine.train import train
    from pcsc_d2.model_zoo.models import training_run

    run_folder = training_run(folder)
    weights = ["MODEL.WEIGHTS", str(run_folder / "model_final.pth")]
    where = ["OUTPUT_DIR", str(args.out), "DATASETS.TEST", repr(tuple(args.datasets))]
    config = str(run_folder / "config.yaml")
    train(
        argparse.Namespace(
            config_file=config, opts=[*weights, *where, *args.opts], eval_only=True, resume=False
        )
    )
    return 0
