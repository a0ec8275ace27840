"""The training curve as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

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
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = _x(share * last, last), _y(share * most, most)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{share * most:.1f}</text>')
        parts.append(
            f'<text class="mid" x="{x:.1f}" y="{_HEIGHT - 6}">{round(share * last)}</text>'
        )
    return "".join(parts)


def _x(iteration: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT - 10) * iteration / last


def _y(value: float, most: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / most)
