"""Progress bars; what does not draw one does not need tqdm."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Bar(Protocol):
    """What the long jobs need of a progress bar."""

    def update(self, n: int) -> Any:
        """Move the bar on."""


class _Silent:
    def update(self, n: int) -> None:
        """Do nothing."""


def progress_bar(total: int, what: str, unit: str, show: bool) -> AbstractContextManager[Bar]:
    """A tqdm bar on standard error, or a silent one."""
    if not show:
        return nullcontext(_Silent())
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit)
