"""What long jobs show: progress bars, where tqdm is installed, and warnings or none."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, Protocol


class Bar(Protocol):
    """What the long jobs need of a progress bar."""

    def update(self, n: int) -> Any:
        """Move the bar on."""


class _Silent:
    def update(self, n: int) -> None:
        """Do nothing."""


def progress_bar(total: int, what: str, unit: str, show: bool) -> AbstractContextManager[Bar]:
    """A tqdm bar on standard error; a silent one where none is wanted, or tqdm is not installed."""
    if not show or find_spec("tqdm") is None:
        return nullcontext(_Silent())
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit)


@contextmanager
def between_bars() -> Iterator[None]:
    """Take bars that are drawn off the screen while a line is printed."""
    if "tqdm" not in sys.modules:
        yield
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(sys.stderr):
        yield


def close_bars() -> None:
    """Leave bars as they are, so that what is printed next has a line of its own.

    An error holds on to the loops that it left, and these to their bars.
    """
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        bars = [bar for bar in getattr(tqdm, "_instances", ()) if hasattr(bar, "pos")]
        for bar in sorted(bars, key=lambda bar: abs(bar.pos)):
            bar.close()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Leave out what the package logs below errors, where a report tells the same."""
    logger = logging.getLogger("pcsc_d2")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
