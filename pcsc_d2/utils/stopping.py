"""What a process says while it is stopped by a signal: nothing of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def is_interrupted() -> bool:
    """Whether ``interrupt`` was called in this ``told_again``."""
    return sys.unraisablehook is _say_nothing


def interrupt(number: int, frame: FrameType | None) -> None:
    """A signal's handler: KeyboardInterrupt, and from then on objects fall apart in silence.

    The exception comes between any two steps: a progress bar may have no place yet, a zip file
    take itself for one that is written to. As they are thrown away they fail once more, and the
    interpreter would print that with its traceback.
    """
    sys.unraisablehook = _say_nothing
    raise KeyboardInterrupt


def leave(number: int, frame: FrameType | None) -> None:
    """As ``interrupt``, but the process ends as if it were done."""
    sys.unraisablehook = _say_nothing
    sys.exit()


@contextmanager
def told_again() -> Iterator[None]:
    """After the block, objects are heard again."""
    before = sys.unraisablehook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _say_nothing(_: object) -> None:
    pass
