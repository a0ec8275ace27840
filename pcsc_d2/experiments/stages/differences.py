"""What one variant's last stage has over the others', paired by test video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pcsc_d2.experiments.runs import TITLES
from pcsc_d2.experiments.tables import interval, markdown
from pcsc_d2.layers import STREAMS
from pcsc_d2.modeling.stages.outputs import MODES
from pcsc_d2.tubes import Detections, GroundTruth
from pcsc_d2.tubes.scoring.bootstrap import paired_interval
from pcsc_d2.tubes.scoring.candidates import FrameCandidates

REFERENCE = "pcsc"

Folders = Mapping[str, Sequence[Path]]
Found = dict[str, list[FrameCandidates]]


def alone(stream: str) -> str:
    """The name of what one stream finds at stage 0, beside the ways of putting stages together."""
    return f"{stream}_alone"


OUTPUTS = (*MODES, *map(alone, STREAMS))
"""What is scored of a run: its last stage by each way of putting stages together, and each stream
alone."""


def detections_folder(run: Path, dataset: str) -> Path:
    """Where the detections of a run's folder on a dataset are, ``<output>.npz``."""
    return run / f"stages_{dataset}"


def difference_parts(folders: Folders, truth: GroundTruth) -> list[str]:
    """Headings and tables in Markdown of PCSC against the other variants; none without those.

    Args:
        folders: variant -> its runs' folders of detections, one a seed, with ``<output>.npz`` for
            each of ``OUTPUTS``.
        truth: ground truth of what was scored.
    """
    others = [name for name in folders if name != REFERENCE]
    if REFERENCE not in folders or not others:
        return []
    found = {name: _load(of, truth) for name, of in folders.items()}
    headings = ["last stage by", *(f"over {TITLES[name]}" for name in others)]
    headings.append(f"over its own {alone('rgb').replace('_', ' ')}")
    parts = []
    for iou in (0.5, 0.75):
        title = f"## {TITLES[REFERENCE]} against the others: frame mAP@{iou:g} in points"
        parts += [f"{title}, [95 % of 1,000 draws of the videos]"]
        parts += [markdown(_rows(found, others, iou), headings)]
    return parts


def _rows(found: Mapping[str, Found], others: Sequence[str], iou: float) -> list[list[str]]:
    own = found[REFERENCE]
    return [
        [
            output,
            *(_difference(found[name][output], own[output], iou) for name in others),
            _difference(own[alone("rgb")], own[output], iou),
        ]
        for output in OUTPUTS
    ]


def _difference(
    first: Sequence[FrameCandidates], second: Sequence[FrameCandidates], iou: float
) -> str:
    return interval(paired_interval(list(zip(first, second)), iou))


def _load(folders: Sequence[Path], truth: GroundTruth) -> Found:
    return {
        output: [FrameCandidates(Detections.load(f / f"{output}.npz"), truth) for f in folders]
        for output in OUTPUTS
    }
