"""The tables of refinement, mean and spread over seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pcsc_d2.experiments.tables import Paired, markdown, spread, write_report
from pcsc_d2.tubes import GroundTruth, Refinement, Tubes, refinement_stats
from pcsc_d2.tubes.scoring.bootstrap import paired_interval
from pcsc_d2.tubes.scoring.candidates import TubeCandidates
from pcsc_d2.tubes.scoring.protocol import get_protocol
from pcsc_d2.tubes.scoring.results import Results

TITLES = {
    "baseline": "baseline (Faster R-CNN + FPN)",
    "pcsc": "PCSC",
    "refined": "PCSC + refinement",
    "general": "general instead of class-specific actionness",
    "loose_labels": "labels by an IoU of 0.2",
    "no_median": "without the median filter",
    "before_cooperation": "features before cooperation",
    "temporal_labelling": "temporal labelling of the linker instead",
    "segments": "temporal cooperation instead",
    "segments_control": "the same, each stream by itself",
}
# What each row is held against.
REFERENCES = ("pcsc", "refined")
IOU = 0.5
BOUNDARIES = ("found", "start", "start_bias", "end", "end_bias", "within_5")


class Row(NamedTuple):
    """Tubes of the test videos of one seed, and the refinement that made them, if any."""

    tubes: Tubes
    refinement: Refinement | None = None


@dataclass(frozen=True)
class Scored:
    """A row of one seed, scored.

    Attributes:
        candidates: the tubes held against the ground truth.
        results: their scores.
        figures: of the refinement, see ``tubes.refinement_stats``; None where there was none.
    """

    candidates: TubeCandidates
    results: dict[str, Any]
    figures: dict[str, float] | None

    @classmethod
    def of(cls, row: Row, truth: GroundTruth) -> Scored:
        """The scores of a row."""
        candidates = TubeCandidates(row.tubes, truth)
        results = Results.of(get_protocol("act"), tubes=candidates).to_dict()
        stats = None if row.refinement is None else refinement_stats(row.refinement, truth)
        return cls(candidates, results, stats)

    def to_dict(self) -> dict[str, Any]:
        """What ``refinement.json`` holds of it."""
        scores = {part: self.results[part] for part in ("video", "temporal", "boundaries")}
        return scores | {"figures": self.figures}


Rows = dict[str, list[Scored]]


def write_tables(
    rows: Mapping[str, Sequence[Row]], truth: GroundTruth, out: Path, dataset: str
) -> str:
    """Write ``refinement.md`` and ``refinement.json`` into a folder; the text of the former.

    Args:
        rows: of each way, by seed.
        truth: ground truth of the dataset that was scored on.
        out: the folder.
        dataset: its name.
    """
    found = {name: [Scored.of(row, truth) for row in rows[name]] for name in TITLES if name in rows}
    differences = {ref: _differences(found, ref) for ref in REFERENCES}
    seeds = f"mean ± standard deviation of {len(rows['pcsc'])} seeds"
    refined = [name for name in found if found[name][0].figures is not None]
    parts = [
        f"# {dataset}: video mAP in %, {seeds}",
        _scores(found, "video"),
        f"## Video mAP@{IOU:g}, paired differences: by seed, and over draws of the videos (95 %)",
        _paired(found, differences),
        "## mAP of the tubes' extents alone",
        _scores(found, "temporal"),
        "## Boundaries: actions that a tube follows (%), errors in frames, those within 5 (%)",
        markdown([_boundaries(name, found[name]) for name in found], ["", *BOUNDARIES]),
        "## Temporal IoU of ground-truth tubes matched before and after, and numbers of tubes",
        markdown([_figures(name, found[name]) for name in refined], HEADINGS),
    ]
    content: dict[str, Any] = {name: [s.to_dict() for s in of] for name, of in found.items()}
    told = {ref: {name: d.to_dict() for name, d in of.items()} for ref, of in differences.items()}
    return write_report(out / "refinement", parts, {"rows": content, "differences": told})


def _scores(found: Rows, part: str) -> str:
    columns = list(found["pcsc"][0].results[part])
    lines = [
        [TITLES[name], *(spread(s.results[part][column] for s in of) for column in columns)]
        for name, of in found.items()
    ]
    return markdown(lines, ["", *columns])


def _differences(found: Rows, reference: str) -> dict[str, Paired]:
    """Of each other row, what it has over the reference: by seed, and over draws of the videos."""
    differences = {}
    for name, of in found.items():
        if name == reference:
            continue
        pairs = list(zip(found[reference], of))
        column = f"{IOU:g}"
        by_seed = [b.results["video"][column] - a.results["video"][column] for a, b in pairs]
        by_video = paired_interval([(a.candidates, b.candidates) for a, b in pairs], IOU)
        differences[name] = Paired(by_seed, by_video)
    return differences


def _paired(found: Rows, differences: Mapping[str, Mapping[str, Paired]]) -> str:
    lines = []
    for name in found:
        cells = [of[name].cells() if name in of else ["", ""] for of in differences.values()]
        lines.append([TITLES[name], *chain.from_iterable(cells)])
    headings = [x for ref in differences for x in (f"over {TITLES[ref]}", "by video")]
    return markdown(lines, ["", *headings])


def _boundaries(name: str, found: Sequence[Scored]) -> list[str]:
    means = [s.results["boundaries"] for s in found]
    return [TITLES[name], *(spread((m[key] for m in means), 1) for key in BOUNDARIES)]


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
