"""The models by name: list them, or build one by its recorded commands.

What is built is kept in the user's cache folder, and --model NAME then takes it.

    pcsc models list
    pcsc models build jhmdb-pcsc

Exit status: 0; 2 if a command of a build failed.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_subcommand


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc models``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = add_subcommand(commands, "list", list_models)
    show.add_argument("--markdown", action="store_true", help="the table of the documentation")
    add_subcommand(commands, "build", build_model).add_argument("name", metavar="NAME")


def list_models(args: argparse.Namespace) -> None:
    """List the models, with their scores and where they are.

    pcsc models list --markdown
    """
    from pcsc_d2.model_zoo.models import table, zoo_models

    if args.markdown:
        print(table())
        return
    for model in zoo_models().values():
        scores = f"frame {_score(model.frame_50)}, video {_score(model.video_50)} (mAP at 0.5)"
        there = model.file if model.file.is_file() else f"pcsc models build {model.name}"
        print(f"{model.name}: {model.config}, {model.data}: {scores}\n  {there}")


def build_model(args: argparse.Namespace) -> None:
    """Build a model: features, training, evaluation and export, going on where it was.

    pcsc models build jhmdb-pcsc
    """
    from pcsc_d2.model_zoo.building import build
    from pcsc_d2.model_zoo.models import get_model
    from pcsc_d2.utils.files import file_digest

    file = build(get_model(args.name))
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB, sha256 {file_digest(file)})")


def _score(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f}"
