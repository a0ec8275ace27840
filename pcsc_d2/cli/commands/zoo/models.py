"""The models by name: list them, build one by its recorded commands, or push one to the Hub.

What is built is kept in the user's cache folder, and --model NAME then takes it.

    pcsc models list
    pcsc models build jhmdb-pcsc

Exit status: 0; 2 if a command of a build failed.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import add_subcommand, named_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc models``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = add_subcommand(commands, "list", list_models)
    show.add_argument("--markdown", action="store_true", help="the table of the documentation")
    add_subcommand(commands, "build", build_model).add_argument("name", metavar="NAME")
    _add_push(add_subcommand(commands, "push", push))


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


def _add_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="FILE", help="an exported file, or a name of the list")
    parser.add_argument("repository", metavar="OWNER/NAME", help="is made if it is not there")
    parser.add_argument(
        "--results",
        type=named_path,
        metavar="FILE",
        help="results.json of pcsc evaluate, for the card; of models of the list it is known",
    )
    parser.add_argument("--license", metavar="ID", help="of the weights, such as apache-2.0")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument(
        "--card", type=named_path, metavar="FILE", help="write the card, push nothing"
    )


def push(args: argparse.Namespace) -> None:
    """Push an exported model to the Hugging Face Hub, with a card that has its measured scores.

    pcsc models push model.pt owner/name --results output/evaluated/inference/DATASET/results.json
    """
    from pcsc_d2.model_zoo.hub import push_model
    from pcsc_d2.model_zoo.models import model_files
    from pcsc_d2.models.card import model_card
    from pcsc_d2.utils.files import atomic_write

    [file] = model_files([args.model])
    card = model_card(file, args.repository, args.results, args.license)
    if args.card is not None:
        with atomic_write(args.card, "w") as target:
            target.write(card)
        print(args.card)
        return
    address = push_model(file, args.repository, card, args.private)
    print(f"pcsc detect VIDEO --model {address}")


def _score(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f}"
