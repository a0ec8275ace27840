"""The program ``pcsc``: its subcommands are the modules in ``commands``."""

from pcsc_d2.cli.main import main

__all__ = ["main"]
