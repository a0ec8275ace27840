"""The table of ablations: means, spreads, and differences that are paired by seed and by video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pcsc_d2.experiments.ablations import Row
from pcsc_d2.experiments.tables import Paired, markdown, spread
from pcsc_d2.tubes import Detections, GroundTruth
from pcsc_d2.tubes.scoring.bootstrap import paired_interval
from pcsc_d2.tubes.scoring.candidates import FrameCandidates

# Columns: heading, and where results.json has it.
COLUMNS = {
    "frame 0.5": ("frame", "0.5"),
    "frame 0.5:0.95": ("frame", "0.5:0.95"),
    "video 0.5": ("video", "0.5"),
    "video 0.5:0.95": ("video", "0.5:0.95"),
}


class Cell(NamedTuple):
    """A row's evaluation of one seed: ``results.json``, and the file of its detections."""

    results: dict[str, Any]
    detections: Path

    def value(self, heading: str) -> float | None:
        """A score in percent; None where there is none."""
        part, name = COLUMNS[heading]
        return self.results.get(part, {}).get(name)


def table(
    cells: Mapping[str, Sequence[Cell]],
    rows: Mapping[str, Row],
    reference: str,
    truth: GroundTruth,
) -> tuple[str, dict[str, Any]]:
    """The table in Markdown, and what it holds as numbers.

    Args:
        cells: of each row, by seed.
        rows: what they are.
        reference: the row that the others are held against.
        truth: ground truth of the dataset that was scored on.
    """
    found = {name: [_candidates(cell, truth) for cell in of] for name, of in cells.items()}
    lines, content = [], {}
    for name, of in cells.items():
        scores = {heading: [cell.value(heading) for cell in of] for heading in COLUMNS}
        line = [rows[name].title, *(spread(values) for values in scores.values())]
        content[name] = {"title": rows[name].title, "scores": scores}
        if name == reference:
            lines.append([*line, "", ""])
            continue
        by_seed = differences(cells[reference], of, "frame 0.5")
        by_video = paired_interval(list(zip(found[reference], found[name])), 0.5)
        paired = Paired(by_seed, by_video)
        lines.append([*line, *paired.cells()])
        content[name] |= paired.to_dict()
    headings = ["", *COLUMNS, "frame 0.5, by seed", "by video (95 %)"]
    return markdown(lines, headings), content


def differences(first: Sequence[Cell], second: Sequence[Cell], heading: str) -> list[float]:
    """What the second of two rows has over the first, seed by seed."""
    pairs = [(a.value(heading), b.value(heading)) for a, b in zip(first, second)]
    return [b - a for a, b in pairs if a is not None and b is not None]


def _candidates(cell: Cell, truth: GroundTruth) -> FrameCandidates:
    return FrameCandidates(Detections.load(cell.detections), truth)
