"""Progress bars, where tqdm is installed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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
