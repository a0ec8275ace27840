"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import itertools
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import cleandoc
from pathlib import Path
from textwrap import indent

# Those that have no section are Detectron2's.
_KEY = re.compile(
    r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+"
    r"|OUTPUT_DIR|SEED|VERSION|VIS_PERIOD|CUDNN_BENCHMARK|FLOAT32_PRECISION"
)


def describe(parser: argparse.ArgumentParser, text: str) -> None:
    """Show a docstring as it stands; examples, which begin with "pcsc", are set in."""
    paragraphs = cleandoc(text).split("\n\n")
    shown = [indent(p, " " * 4) if p.startswith("pcsc ") else p for p in paragraphs]
    parser.description = "\n\n".join(shown)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_subcommand(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    """A parser below a subcommand's; ``run`` does the work, and its docstring is the help."""
    summary = cleandoc(run.__doc__).splitlines()[0].rstrip(".")
    parser = commands.add_parser(name, help=summary[0].lower() + summary[1:])
    describe(parser, run.__doc__)
    parser.set_defaults(run=run)
    return parser


def named_path(text: str) -> Path:
    """A path that is named; ValueError for an empty name, which would stand for this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name of a file or folder is empty")
    return Path(text)


def whole(least: int, most: int = 1 << 40) -> Callable[[str], int]:
    """The type of an argument that is a whole number of a range."""

    def parse(text: str) -> int:
        return int(_within(text, int, least, most))

    return parse


def number(least: float, most: float = 1e12) -> Callable[[str], float]:
    """The type of an argument that is a number of a range; never NaN, and never infinite."""

    def parse(text: str) -> float:
        return _within(text, float, least, most)

    return parse


def _within(text: str, kind: Callable[[str], float], least: float, most: float) -> float:
    with suppress(ValueError):
        value = kind(text)
        if least <= value <= most:
            return value
    name = "whole number" if kind is int else "number"
    bounds = f"from {least:g} to {most:g}" if most < 1e9 else f"of {least:g} or more"
    raise argparse.ArgumentTypeError(f"{text!r} is no {name} {bounds}")


def add_root(parser: argparse.ArgumentParser) -> None:
    """The folder of all datasets."""
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser()
    parser.add_argument(
        "--root", type=named_path, default=root, metavar="DIR", help="of all datasets (%(default)s)"
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """A config, and what overrides it."""
    parser.add_argument(
        "--config-file",
        required=True,
        metavar="FILE",
        help="a file, or the name of a config that comes with the package (jhmdb/pcsc.yaml)",
    )
    add_options(parser)


def add_config_or_model(parser: argparse.ArgumentParser) -> None:
    """A config, or a training run that has one; see ``config_and_options``."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--config-file",
        metavar="FILE",
        help="a file, or the name of a config that comes with the package (jhmdb/pcsc.yaml)",
    )
    group.add_argument(
        "--model",
        metavar="NAME",
        help="a name of pcsc models list that was built here, or a training run's folder",
    )
    add_options(parser)


def config_and_options(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """The config's file, and KEY, VALUE, ... with the weights of a model that was named.

    Raises:
        ValueError: no such config, or no such model is built.
    """
    from pcsc_d2.model_zoo import find_config
    from pcsc_d2.model_zoo.models import training_run

    if args.model is None:
        return find_config(args.config_file), args.opts
    run = training_run(args.model)
    return run / "config.yaml", ["MODEL.WEIGHTS", str(run / "model_final.pth"), *args.opts]


def add_options(parser: argparse.ArgumentParser) -> None:
    """KEY VALUE ... at the end of the line."""
    parser.add_argument(
        "opts",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY VALUE",
        help="override the config, at the end of the line",
    )


class Names(argparse.Action):
    """Words up to the first key of a config, which begins what ``add_options`` takes."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option: str | None = None,
    ) -> None:
        names = [*itertools.takewhile(lambda word: not _KEY.fullmatch(word), values)]
        if not names:
            parser.error(f"argument {option}: expected at least one {self.metavar}")
        setattr(namespace, self.dest, names)
        namespace.opts = [*namespace.opts, *values[len(names) :]]


def add_launch(parser: argparse.ArgumentParser) -> None:
    """How many processes train, on which machines; as Detectron2's ``launch`` takes it."""
    group = parser.add_argument_group("in several processes (torchrun starts them too)")
    group.add_argument(
        "--num-gpus",
        type=whole(0, 1024),
        default=1,
        metavar="N",
        help="of each machine, a process for each; with MODEL.DEVICE cpu, processes on the CPU",
    )
    group.add_argument("--num-machines", type=whole(1, 1 << 16), default=1, metavar="N")
    group.add_argument(
        "--machine-rank", type=whole(0, 1 << 16), default=0, metavar="N", help="of this machine"
    )
    group.add_argument(
        "--dist-url", default="auto", metavar="URL", help="of the first machine (tcp://host:port)"
    )
    group.add_argument(
        "--timeout",
        type=number(1, 1e8),
        default=1800,
        metavar="SECONDS",
        help="that a step may take in one process before the job is taken for dead (%(default)g); "
        "waits for flow, fits and scores have no limit",
    )
