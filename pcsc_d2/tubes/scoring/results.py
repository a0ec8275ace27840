"""All scores of a set of results, as the tables of the papers have them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.scoring.boundaries import TEMPORAL_IOUS, BoundaryErrors, ExtentCandidates
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.errors import ErrorBreakdown, frame_errors, tube_errors
from pcsc_d2.tubes.scoring.metrics import (
    FRAME_IOUS,
    STRICT_IOUS,
    VIDEO_IOUS,
    ScoresByIou,
)
from pcsc_d2.tubes.scoring.protocol import Protocol, get_protocol
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.utils import files as io

COLUMNS = (0.2, 0.5, 0.75)
ERROR_IOU = 0.5
AVERAGE = "0.5:0.95"
TEMPORAL_AVERAGE = "0.3:0.7"


@dataclass(frozen=True, eq=False)
class Results:
    """Scores and error analysis of frame detections and of tubes, either of which may be absent.

    Attributes:
        protocol: its name.
        frame: frame mAP at ``frame_ious`` and at 0.5 to 0.95.
        video: video mAP at 0.2 and at 0.5 to 0.95.
        frame_errors: error analysis of the detections at IoU 0.5.
        video_errors: error analysis of the tubes at IoU 0.5.
        frame_ious: at which frame mAP is a column.
        temporal: mAP of the tubes' extents at 0.3 to 0.7.
        boundaries: errors of the tubes' first and last frames.
    """

    protocol: str
    frame: ScoresByIou | None = None
    video: ScoresByIou | None = None
    frame_errors: ErrorBreakdown | None = None
    video_errors: ErrorBreakdown | None = None
    frame_ious: tuple[float, ...] = FRAME_IOUS
    temporal: ScoresByIou | None = None
    boundaries: BoundaryErrors | None = None

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        frames: FrameCandidates | None = None,
        tubes: TubeCandidates | None = None,
        frame_ious: Sequence[float] = FRAME_IOUS,
    ) -> Results:
        """The scores of candidates that this protocol made."""
        frame = video = frame_analysis = video_analysis = temporal = boundaries = None
        if frames is not None:
            frame = ScoresByIou.of(frames, sorted({*frame_ious, *STRICT_IOUS}))
            frame_analysis = frame_errors(frames, ERROR_IOU)
        if tubes is not None:
            video = ScoresByIou.of(tubes, VIDEO_IOUS)
            video_analysis = tube_errors(tubes, ERROR_IOU)
            temporal = ScoresByIou.of(ExtentCandidates(tubes), TEMPORAL_IOUS)
            boundaries = BoundaryErrors.of(tubes)
        analyses, ious = (frame_analysis, video_analysis), tuple(frame_ious)
        return cls(protocol.name, frame, video, *analyses, ious, temporal, boundaries)

    def columns(self) -> dict[str, float]:
        """The columns of tables, in percent: "frame 0.5", ... "frame 0.5:0.95", "video 0.2", ..."""
        return {
            f"{name} {iou}": value
            for name, scores, ious in self._shown()
            for iou, value in _by_name(scores, ious).items()
        }

    def columns_per_class(self) -> dict[str, dict[str, float]]:
        """The same columns by class: label -> AP in percent."""
        return {
            f"{name} {iou}": values
            for name, scores, ious in self._shown()
            for iou, values in [
                *((f"{iou:g}", scores[iou].per_class) for iou in ious),
                (AVERAGE, scores.average_per_class),
            ]
        }

    def temporal_columns(self) -> dict[str, float]:
        """Temporal mAP in percent: "temporal 0.3", ... "temporal 0.3:0.7", their mean."""
        return {f"temporal {iou}": value for iou, value in self._temporal_by_name().items()}

    def _temporal_by_name(self) -> dict[str, float]:
        if self.temporal is None:
            return {}
        values = {f"{iou:g}": score.mean for iou, score in self.temporal.items()}
        return values | {TEMPORAL_AVERAGE: sum(values.values()) / len(values)}

    def without_ground_truth(self) -> list[str]:
        """The classes left out of the means."""
        shown = self._shown()
        return shown[0][1][ERROR_IOU].without_ground_truth if shown else []

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` holds: "frame", "video", "per_class" and more, in percent.

        "boundaries" is in frames, see ``BoundaryErrors.means``.

        NaN (a class without ground truth) becomes None.
        """
        content: dict[str, Any] = {"protocol": self.protocol, "unit": "percent", "per_class": {}}
        for name, scores, ious in self._shown():
            content[name] = _by_name(scores, ious)
            content["per_class"][name] = {
                f"{iou:g}": score.per_class for iou, score in scores.items()
            }
        for name, errors in (("frame", self.frame_errors), ("video", self.video_errors)):
            if errors is not None:
                content.setdefault("errors", {})[name] = errors.mean
        if self.temporal is not None:
            content["temporal"] = self._temporal_by_name()
        if self.boundaries is not None:
            content["boundaries"] = self.boundaries.means()
        content["without_ground_truth"] = self.without_ground_truth()
        return _without_nan(content)

    def _shown(self) -> list[tuple[str, ScoresByIou, Sequence[float]]]:
        """What there is: its name, and the thresholds that are columns."""
        both = [("frame", self.frame, self.frame_ious), ("video", self.video, COLUMNS)]
        return [part for part in both if part[1] is not None]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``to_dict`` as JSON, atomically."""
        io.write_json(path, self.to_dict())

    def table(self) -> str:
        """The columns of the paper as text, and which classes are left out of them."""
        lines = [f"protocol {self.protocol}, mAP in %", *_two_lines(self.columns())]
        if self.temporal is not None:
            lines += _two_lines(self.temporal_columns())
        if self.boundaries is not None:
            lines.append(self.boundaries.summary())
        left_out = self.without_ground_truth()
        if left_out:
            lines.append(f"left out, without ground truth: {', '.join(left_out)}")
        return "\n".join(lines)


def score(
    ground_truth: GroundTruth,
    detections: Detections | None = None,
    tubes: Tubes | None = None,
    protocol: str | Protocol = "act",
    frame_ious: Sequence[float] = FRAME_IOUS,
) -> Results:
    """Score what is given against the ground truth; raises and warns as ``frame_map``."""
    frames = found = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if detections is not None:
            frames = FrameCandidates(detections, ground_truth, protocol)
        if tubes is not None:
            found = TubeCandidates(tubes, ground_truth, protocol)
    # Either says the same of videos that do not fit; once is enough.
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        warnings.warn(message, stacklevel=2)
    return Results.of(get_protocol(protocol), frames, found, frame_ious)


def _by_name(scores: ScoresByIou, ious: Sequence[float]) -> dict[str, float]:
    """The means at some thresholds, and over the ten strict ones."""
    return {f"{iou:g}": scores[iou].mean for iou in ious} | {AVERAGE: scores.average}


def _two_lines(values: dict[str, float]) -> list[str]:
    """A line of names, and the numbers under them."""
    widths = [max(len(name), 8) for name in values]
    return [
        "  ".join(f"{name:>{width}}" for name, width in zip(values, widths, strict=True)),
        "  ".join(f"{v:{w}.2f}" for v, w in zip(values.values(), widths, strict=True)),
    ]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
