"""Charts of the report as inline SVG, coloured by ``charts.css``.

A chart holds numbers and words of this module, no text from outside, and so needs no escaping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pcsc_d2.tubes.report.actionness_curves import ActionnessCurve
from pcsc_d2.tubes.scoring.curves import Curve
from pcsc_d2.tubes.scoring.errors import PARTS

_CURVE_POINTS = 160


class Chart(str):
    """SVG that a template takes as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def stacked_bar(parts: Mapping[str, float], width: int = 640, height: int = 22) -> Chart:
    """One horizontal bar of the parts of an error analysis, which add up to 100 %."""
    scale, x, pieces = width / 100, 0.0, []
    for part in PARTS:
        length = max(parts[part], 0) * scale
        # A gap of the background's colour tells neighbours apart without relying on hue.
        pieces.append(
            f'<rect class="part {part}" x="{x:.2f}" width="{max(length - 1.5, 0):.2f}" '
            f'height="{height}"><title>{part}: {parts[part]:.1f} %</title></rect>'
        )
        if length > 34:
            pieces.append(
                f'<text class="in {part}" x="{x + length / 2:.2f}" y="{height / 2 + 4:.1f}">'
                f"{parts[part]:.1f}</text>"
            )
        x += length
    return Chart(
        f'<svg class="bar" viewBox="0 0 {width} {height}" role="img">{"".join(pieces)}</svg>'
    )


def precision_recall(curves: Mapping[str, Curve], size: tuple[int, int] = (190, 150)) -> Chart:
    """A panel of one class: series name ("frame", "video") -> its curve."""
    width, height = size
    left, top, right, bottom = 26, 8, 6, 20
    w, h = width - left - right, height - top - bottom
    grid = "".join(
        f'<line class="grid" x1="{left + w * t:.1f}" y1="{top}" x2="{left + w * t:.1f}" '
        f'y2="{top + h}"/><line class="grid" x1="{left}" y1="{top + h * (1 - t):.1f}" '
        f'x2="{left + w}" y2="{top + h * (1 - t):.1f}"/>'
        for t in (0, 0.5, 1)
    )
    ticks = "".join(
        f'<text class="tick" x="{left + w * t:.1f}" y="{height - 6}">{t:g}</text>'
        f'<text class="tick y" x="{left - 5}" y="{top + h * (1 - t) + 3:.1f}">{t:g}</text>'
        for t in (0, 0.5, 1)
    )
    lines = "".join(
        f'<polyline class="line {name}" points="{_points(curve, left, top, w, h)}"/>'
        for name, curve in curves.items()
        if curve.positives
    )
    return Chart(f'<svg viewBox="0 0 {width} {height}" role="img">{grid}{ticks}{lines}</svg>')


def _points(curve: Curve, left: int, top: int, width: int, height: int) -> str:
    """The curve's points, thinned to those where recall or precision visibly changes."""
    recall, precision = curve.recall, curve.precision
    if len(recall) > _CURVE_POINTS:
        steps = np.linspace(0, recall[-1], _CURVE_POINTS)
        pick = np.unique(np.minimum(np.searchsorted(recall, steps), len(recall) - 1))
        # The last point of a recall is where its precision is lowest.
        recall, precision = recall[pick], precision[pick]
    return " ".join(
        f"{left + width * r:.1f},{top + height * (1 - p):.1f}"
        for r, p in zip([0.0, *recall], [1.0, *precision], strict=True)
    )


def threshold_curve(values: Mapping[float, float], size: tuple[int, int] = (640, 220)) -> Chart:
    """Video mAP over the tube IoU threshold, one point each, with its value."""
    width, height = size
    left, top, right, bottom = 34, 22, 14, 36
    w, h = width - left - right, height - top - bottom
    xs = [left + w * iou for iou in values]
    ys = [top + h * (1 - value / 100) for value in values.values()]
    grid = "".join(
        f'<line class="grid" x1="{left}" y1="{top + h * (1 - t / 100):.1f}" x2="{left + w}" '
        f'y2="{top + h * (1 - t / 100):.1f}"/>'
        f'<text class="tick y" x="{left - 6}" y="{top + h * (1 - t / 100) + 4:.1f}">{t}</text>'
        for t in (0, 25, 50, 75, 100)
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    marks = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        f'<text class="value" x="{x:.1f}" y="{y - 9:.1f}">{value:.1f}</text>'
        f'<text class="tick" x="{x:.1f}" y="{top + h + 15}">{iou:g}</text>'
        for x, y, (iou, value) in zip(xs, ys, values.items(), strict=True)
    )
    return Chart(
        f'<svg class="wide" viewBox="0 0 {width} {height}" role="img">{grid}'
        f'<polyline class="line video" points="{line}"/>{marks}'
        f'<text class="tick" x="{left + w / 2}" y="{height - 4}">tube IoU threshold</text></svg>'
    )


def actionness_chart(curve: ActionnessCurve, size: tuple[int, int] = (420, 150)) -> Chart:
    """Actionness along a tube over the frames of its video: raw thin, smoothed thick, the
    threshold dashed; below, the extent of the ground truth and of what refinement left."""
    width, height = size
    left, top, right, bottom = 62, 8, 8, 52
    w, h = width - left - right, height - top - bottom
    scale = w / max(curve.nframes, 1)

    def x(frame: float) -> float:
        return left + (frame - 1) * scale

    def y(value: float) -> float:
        return top + h * (1 - value)

    def line(name: str, values: np.ndarray) -> str:
        points = " ".join(
            f"{x(frame + 0.5):.1f},{y(v):.1f}" for frame, v in enumerate(values, curve.start)
        )
        return f'<polyline class="line {name}" points="{points}"/>'

    def bars(name: str, extents: Sequence[tuple[int, int]], row: int) -> str:
        middle = top + h + 11 + 13 * row
        rects = "".join(
            f'<rect class="extent {name}" x="{x(a):.1f}" y="{middle - 4}" '
            f'width="{(b - a + 1) * scale:.1f}" height="8"><title>{name}: frames {a} to {b}'
            "</title></rect>"
            for a, b in extents
        )
        return f'{rects}<text class="tick y" x="{left - 5}" y="{middle + 4}">{name}</text>'

    last = curve.start + len(curve.raw) - 1
    grid = "".join(
        f'<line class="grid" x1="{left}" y1="{y(v):.1f}" x2="{left + w}" y2="{y(v):.1f}"/>'
        f'<text class="tick y" x="{left - 5}" y="{y(v) + 4:.1f}">{v:g}</text>'
        for v in (0, 0.5, 1)
    )
    threshold = y(curve.threshold)
    return Chart(
        f'<svg class="wide" viewBox="0 0 {width} {height}" role="img">{grid}'
        f'<line class="threshold" x1="{left}" y1="{threshold:.1f}" x2="{left + w}" '
        f'y2="{threshold:.1f}"/>{line("raw", curve.raw)}{line("smoothed", curve.smoothed)}'
        f"{bars('truth', curve.truth, 0)}{bars('linked', [(curve.start, last)], 1)}"
        f"{bars('refined', curve.kept, 2)}"
        f'<text class="tick" x="{left}" y="{top + h + 50}">1</text>'
        f'<text class="tick" x="{left + w}" y="{top + h + 50}">{curve.nframes}</text></svg>'
    )
