"""The program ``pcsc``: its subcommands are the modules in ``commands``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; see ``program.run``.

    What the program consists of is imported here, so that Ctrl-C at its start is one line, too.
    """
    try:
        from pcsc_d2.cli import program

        return program.run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        return 130
