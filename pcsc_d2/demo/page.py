"""The demo's page: all that was made, and what each picture shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pcsc_d2.datasets.layout import JHMDB_LABELS
from pcsc_d2.demo.curve import LOSSES, loss_chart
from pcsc_d2.demo.scenes import KIND_NOTES, MAX_FLOW, Scene
from pcsc_d2.demo.training import TRAINING, read_losses
from pcsc_d2.pages import render_page
from pcsc_d2.utils.files import atomic_write

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Scores:
    """How well the trained detector did on the test clips.

    Attributes:
        frame: frame mAP at IoU 0.5, in percent.
        chance: what true boxes with guessed classes score by the same measure.
        video: IoU -> video mAP.
        report: the evaluator's page.
    """

    frame: float
    chance: float
    video: dict[float, float]
    report: Path

    def told(self) -> str:
        """The frame mAP in a sentence's end."""
        return f"{self.frame:.1f} (chance: {self.chance:.1f}, true boxes with guessed classes)"


def write_index(out: Path, scenes: Sequence[Scene], scores: Scores | None, own: str) -> Path:
    """Write the page.

    Args:
        out: the demo's folder.
        scenes: those drawn.
        scores: None where nothing was trained.
        own: folder of what was found in the video of no dataset.

    Returns:
        The file.
    """
    losses = read_losses(out / TRAINING) if scores else []
    path = out / "index.html"
    page = render_page(
        _TEMPLATE,
        title="Actions found in generated clips",
        scores=scores,
        known=len(JHMDB_LABELS),
        tiles=_tiles(scores) if scores else [],
        report=os.path.relpath(scores.report, out) if scores else "",
        scenes=[(scene.file, scene.poster, _caption(scene)) for scene in scenes],
        notes=KIND_NOTES,
        max_flow=f"{MAX_FLOW:g}",
        losses=list(LOSSES),
        curve=loss_chart(losses) if losses else "",
        iterations=int(losses[-1]["iteration"]) + 1 if losses else 0,
        training=TRAINING,
        own=own,
    )
    with atomic_write(path, "w") as file:
        file.write(page)
    return path


def _tiles(scores: Scores) -> list[tuple[str, str]]:
    video = [(f"{value:.1f}", f"video mAP @ {iou:g}") for iou, value in scores.video.items()]
    return [
        (f"{scores.frame:.1f}", "frame mAP @ 0.5"),
        (f"{scores.chance:.1f}", "the same by chance: true boxes, guessed classes"),
        *video,
    ]


def _caption(scene: Scene) -> str:
    counts = Counter(scene.kinds)
    actors = len(scene.kinds)
    special = [f"{counts[kind]} {kind}" for kind in KIND_NOTES if counts[kind]]
    kinds = f" ({', '.join(special)})" if special else ""
    tubes = len(scene.found)
    return (
        f"Test clip {Path(scene.name).name}: {actors} {'actor' if actors == 1 else 'actors'}"
        f"{kinds}; {tubes} {'tube' if tubes == 1 else 'tubes'} found"
    )
