"""Tables of mean and spread over seeds, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tabulate import tabulate

from pcsc_d2.tubes.scoring.bootstrap import Interval
from pcsc_d2.utils.files import atomic_write, write_json


def spread(values: Iterable[float | None], digits: int = 2) -> str:
    """``mean ± standard deviation`` (of a sample) of those that are there; ``-`` for none."""
    values = [v for v in values if v is not None and not np.isnan(v)]
    if not values:
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def signed(values: Sequence[float]) -> str:
    """``+mean ± standard deviation`` of differences; ``-`` for none."""
    return f"{'+' if values and np.mean(values) >= 0 else ''}{spread(values)}"


def interval(of: Interval) -> str:
    """``+difference [low, high]``."""
    return f"{of.difference:+.2f} [{of.low:+.2f}, {of.high:+.2f}]"


class Paired(NamedTuple):
    """What one row has over another: seed by seed, and over draws of the videos."""

    by_seed: list[float]
    by_video: Interval

    def cells(self) -> list[str]:
        """Both, as a table shows them."""
        return [signed(self.by_seed), interval(self.by_video)]

    def to_dict(self) -> dict[str, Any]:
        """Both, as a file of results holds them."""
        return {"by_seed": self.by_seed, "by_video": self.by_video._asdict()}


def markdown(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """A table in Markdown, its cells as they are."""
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def write_report(stem: Path, parts: Sequence[str], content: Any) -> str:
    """Write headings and tables to ``<stem>.md``, the numbers to ``<stem>.json``; the text."""
    text = "\n\n".join(parts) + "\n"
    with atomic_write(stem.with_suffix(".md"), "w") as file:
        file.write(text)
    write_json(stem.with_suffix(".json"), content)
    return text
