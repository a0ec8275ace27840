"""The program's way in: the subcommand that was named is imported, and runs."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import NoReturn

import pcsc_d2
from pcsc_d2.cli.arguments import describe
from pcsc_d2.cli.outcome import exit_status, fail
from pcsc_d2.cli.registry import COMMANDS


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit status: 0; 2 where the user has something to mend, which one line on standard
        error says; 130 after Ctrl-C; others as the subcommand's help says.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not suit the terminal
            stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # a log on a full disk has no traceback for each line
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = _parser(words[0] if words else "").parse_args(words)
    except _UsageError as error:
        return fail(error)
    return exit_status(partial(args.run, args), args.command)


class _UsageError(Exception):
    """A command line that cannot be read; one line."""


class _Parser(argparse.ArgumentParser):
    """Leaves telling what is wrong to the program, in one line as everything else."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message} (see {self.prog} --help)")


def _parser(chosen: str) -> argparse.ArgumentParser:
    """The whole program's parser, with the arguments of the chosen subcommand alone."""
    parser = _Parser(
        prog="pcsc",
        description="Spatio-temporal action detection: who does what, where, from when to when.",
        epilog="pcsc COMMAND --help says more, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"pcsc_d2 {pcsc_d2.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        below = commands.add_parser(name, help=command.summary)
        if name == chosen:
            module = import_module(command.module(name))
            describe(below, module.__doc__)
            below.set_defaults(run=getattr(module, "run", None))
            module.add_arguments(below)
    return parser
