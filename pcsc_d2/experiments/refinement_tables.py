"""The tables of refinement, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pcsc_d2.experiments.tables import markdown, spread, write_report

TITLES = {
    "baseline": "baseline (Faster R-CNN + FPN)",
    "pcsc": "PCSC",
    "refined": "PCSC + refinement",
    "general": "general instead of class-specific actionness",
    "no_median": "without the median filter",
    "before_cooperation": "features before cooperation",
    "temporal_labelling": "temporal labelling of the linker instead",
}


@dataclass(frozen=True)
class Scored:
    """Tubes of the test videos of one seed, scored.

    Attributes:
        video: video mAP in percent by IoU, "0.2", "0.5", "0.75" and "0.5:0.95".
        figures: of the refinement, see ``tubes.refinement_stats``; None where there was none.
    """

    video: dict[str, float]
    figures: dict[str, float] | None = None


Rows = Mapping[str, Sequence[Scored]]


def write_tables(rows: Rows, out: Path, dataset: str) -> str:
    """Write ``refinement.md`` and ``refinement.json`` into a folder; the text of the former."""
    seeds = len(rows["pcsc"])
    names = [name for name in TITLES if name in rows]
    columns = list(rows["pcsc"][0].video)
    scores = [
        [TITLES[name], *(spread(s.video[column] for s in rows[name]) for column in columns)]
        for name in names
    ]
    refined = [name for name in names if rows[name][0].figures is not None]
    parts = [
        f"# {dataset}: video mAP in %, mean ± standard deviation of {seeds} seeds",
        markdown(scores, ["", *columns]),
        "## Temporal IoU of ground-truth tubes matched before and after, and numbers of tubes",
        markdown([_figures(name, rows[name]) for name in refined], HEADINGS),
    ]
    content = {name: [asdict(s) for s in found] for name, found in rows.items()}
    return write_report(out / "refinement", parts, content)


# Of what chose them each seed is shown, of the others mean and spread.
CHOSEN = ("window", "threshold")
OVERLAP = ("overlap_before", "overlap_after")
COUNTS = ("linked", "vanished", "too_short", "left")
HEADINGS = ["", "IoU before", "after", *CHOSEN, "linked", "vanished", "too short", "left"]


def _figures(name: str, found: Sequence[Scored]) -> list[str]:
    figures = [s.figures for s in found]
    return [
        TITLES[name],
        *(spread(f[key] for f in figures) for key in OVERLAP),
        *(", ".join(f"{f[key]:g}" for f in figures) for key in CHOSEN),
        *(spread((f[key] for f in figures), 0) for key in COUNTS),
    ]
