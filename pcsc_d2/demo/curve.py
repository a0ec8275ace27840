"""The training curve as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pcsc_d2.tubes.report.charts import Chart

LOSSES = {"proposals": "loss_rpn", "classes": "loss_cls", "boxes": "loss_box_reg"}
"""Name of a curve -> what the losses that it adds up begin with, over both streams."""
_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 10, 24


def loss_chart(losses: Sequence[dict[str, float]]) -> Chart:
    """The losses over the iterations.

    Args:
        losses: of `training.read_losses`, at least one.
    """
    series = {
        name: [sum(v for k, v in entry.items() if k.startswith(prefix)) for entry in losses]
        for name, prefix in LOSSES.items()
    }
    ends = [entry["iteration"] + 1 for entry in losses]
    most = max(0.1, *(value for values in series.values() for value in values))
    lines = "".join(_line(name, ends, values, most) for name, values in series.items())
    return Chart(
        f'<svg class="losses" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="losses by iteration">{_axes(ends[-1], most)}{lines}</svg>'
    )


def _line(name: str, ends: Sequence[float], values: Sequence[float], most: float) -> str:
    points = " ".join(
        f"{_x(end, ends[-1]):.1f},{_y(value, most):.1f}" for end, value in zip(ends, values)
    )
    return f'<polyline class="{name}" points="{points}"/>'


def _axes(last: float, most: float) -> str:
    parts = []
    for value in _ticks(most):
        y = _y(value, most)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    for value in _ticks(last):
        x = _x(value, last)
        parts.append(f'<text class="mid" x="{x:.1f}" y="{_HEIGHT - 6}">{value:g}</text>')
    return "".join(parts)


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most`, three to six of them."""
    power = 10.0 ** math.floor(math.log10(most))
    step = next(s for s in (0.2 * power, 0.5 * power, power, 2 * power) if most / s < 6)
    return [round(step * i, 6) for i in range(int(most / step) + 1)]


def _x(iteration: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT - 10) * iteration / last


def _y(value: float, most: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / most)
