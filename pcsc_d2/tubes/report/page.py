"""The report: one HTML file that needs no server and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pcsc_d2.pages import render_page
from pcsc_d2.tubes.report.actionness_curves import ActionnessCurve
from pcsc_d2.tubes.report.charts import (
    actionness_chart,
    precision_recall,
    stacked_bar,
    threshold_curve,
)
from pcsc_d2.tubes.scoring.errors import PARTS, ErrorBreakdown
from pcsc_d2.tubes.scoring.results import ERROR_IOU, Results

_TEMPLATE = Path(__file__).with_name("page.html")


class _Column(NamedTuple):
    """A column of the table of classes: AP in percent, of the series "frame" or "video"."""

    series: str
    heading: str
    per_class: Mapping[str, float]
    mean: float


def report_page(
    results: Results,
    title: str = "Results",
    pictures: Sequence[tuple[str, bytes]] = (),
    refinement: tuple[str, Mapping[str, Sequence[ActionnessCurve]]] | None = None,
) -> str:
    """The report as HTML.

    Args:
        pictures: caption and PNG file of each picture, such as the best and the worst tubes.
        refinement: what it did in a sentence, and curves of actionness by heading.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
    """
    series = _series(results)
    return render_page(
        _TEMPLATE,
        title=title,
        protocol=results.protocol,
        left_out=results.without_ground_truth(),
        tiles=_tiles(results.columns()),
        threshold_chart=_thresholds(results),
        temporal_tiles=_tiles(results.temporal_columns()),
        boundaries=results.boundaries.summary() if results.boundaries is not None else "",
        error_iou=f"{ERROR_IOU:g}",
        error_parts=PARTS,
        errors=[
            (heading, _error_rows(errors))
            for heading, errors in (
                ("Frames", results.frame_errors),
                ("Tubes", results.video_errors),
            )
            if errors is not None and errors.per_class
        ],
        ap_columns=_ap_columns(results),
        series=list(series),
        curves=_curves(series),
        refinement=_refinement(*refinement) if refinement is not None else None,
        pictures=pictures,
    )


def _tiles(columns: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(f"{value:.2f}", name.replace(" ", " mAP @ ")) for name, value in columns.items()]


def _thresholds(results: Results) -> str:
    video = results.video or {}
    values = {iou: score.mean for iou, score in video.items() if not np.isnan(score.mean)}
    return threshold_curve(values) if values else ""


def _error_rows(errors: ErrorBreakdown) -> list[tuple[str, str]]:
    """Label and bar of the mean and of each class."""
    classes = [(label, stacked_bar(parts, height=16)) for label, parts in errors.per_class.items()]
    return [("mean", stacked_bar(errors.mean)), *classes]


def _ap_columns(results: Results) -> list[_Column]:
    means, per_class = results.columns(), results.columns_per_class()
    return [_Column(name.split()[0], name, per_class[name], means[name]) for name in means]


def _series(results: Results) -> dict[str, Any]:
    """Scores at the IoU whose curves are drawn, by series."""
    both = {"frame": results.frame, "video": results.video}
    return {name: scores[ERROR_IOU] for name, scores in both.items() if scores is not None}


def _curves(series: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Label, chart and legend of each class that has ground truth."""
    labels = next(iter(series.values())).curves if series else ()
    return [
        (
            label,
            precision_recall({name: s.curves[label] for name, s in series.items()}),
            ", ".join(f"{name} {s.per_class[label]:.1f}" for name, s in series.items()),
        )
        for label in labels
        if any(s.curves[label].positives for s in series.values())
    ]


def _refinement(summary: str, curves: Mapping[str, Sequence[ActionnessCurve]]) -> dict[str, Any]:
    groups = [
        (heading.capitalize(), [(curve.caption, actionness_chart(curve)) for curve in found])
        for heading, found in curves.items()
        if found
    ]
    return {"summary": summary, "groups": groups}
