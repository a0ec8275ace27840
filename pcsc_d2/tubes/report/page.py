"""The report: one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from pcsc_d2.tubes.report.actionness_curves import ActionnessCurve
from pcsc_d2.tubes.report.charts import (
    actionness_chart,
    legend,
    precision_recall,
    stacked_bar,
    threshold_curve,
)
from pcsc_d2.tubes.scoring.errors import PARTS, ErrorBreakdown
from pcsc_d2.tubes.scoring.metrics import STRICT_IOUS
from pcsc_d2.tubes.scoring.results import COLUMNS, ERROR_IOU, Results

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --soft: #5d6876; --rule: #dde2e8;
  --tint: #f4f6f8; --frame: #2563a8; --video: #c2570c; --right: #2f7d5b; --duplicate: #8f7fc0;
  --localisation: #d9a520; --time: #4aa3c7; --class: #c2453d; --other: #8a94a0;
  --missed: #cfd5dc; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6eaef; --soft: #9aa5b1;
  --rule: #2e363f; --tint: #1c2229; --frame: #6aa8e8; --video: #f0944d; --missed: #48525d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 44px 0 6px; }
p { color: var(--soft); margin: 4px 0 14px; max-width: 75ch; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 22px 0 0; }
.tile { flex: 1 1 150px; background: var(--tint); border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 28px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 500; font-size: 13px; vertical-align: bottom; }
tr.mean td { font-weight: 600; border-top: 2px solid var(--rule); }
td.ap { background: linear-gradient(90deg, var(--fill) var(--ap), transparent var(--ap));
  --fill: color-mix(in srgb, var(--hue) 18%, transparent); }
td.frame { --hue: var(--frame); } td.video { --hue: var(--video); }
svg { display: block; overflow: visible; } svg.wide { width: 100%; max-width: 760px; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); text-anchor: middle; }
svg .tick.y { text-anchor: end; } svg .value { fill: var(--ink); }
svg .grid { stroke: var(--rule); } svg .line { fill: none; stroke-width: 1.8; }
svg .line.frame { stroke: var(--frame); } svg .line.video { stroke: var(--video); }
svg .dot { fill: var(--video); stroke: var(--paper); stroke-width: 1.5; }
svg .line.raw { stroke: var(--video); stroke-width: 0.8; opacity: .7; }
svg .line.smoothed { stroke: var(--video); stroke-width: 2; }
svg .threshold { stroke: var(--soft); stroke-dasharray: 4 3; }
svg .extent.linked { fill: var(--other); }
svg .extent.truth { fill: var(--right); } svg .extent.refined { fill: var(--video); }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 18px; }
.pictures { display: grid;
  grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 18px; }
figure { margin: 0; } figcaption { font-size: 13px; color: var(--soft); overflow-wrap: anywhere; }
figcaption b { color: var(--ink); } .panel svg { width: 100%; }
.pictures img { width: 100%; border-radius: 6px; display: block; margin-bottom: 4px; }
.key { display: inline-flex; align-items: center; gap: 6px; margin: 0 16px 8px 0; font-size: 13px; }
.key i { width: 12px; height: 12px; border-radius: 3px; }
svg.bar { width: 100%; min-width: 320px; } td.wide { width: 100%; }
svg .in { fill: #fff; } svg .in.missed, svg .in.localisation { fill: #1c2430; }
@media (prefers-color-scheme: dark) { svg .in.missed { fill: #e6eaef; } }
"""
_PART_STYLE = "".join(
    f"rect.{part} {{ fill: var(--{part}); }} .key .{part} {{ background: var(--{part}); }}\n"
    for part in PARTS
) + "".join(f".key .{name} {{ background: var(--{name}); }}\n" for name in ("frame", "video"))


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
    """
    left_out = results.without_ground_truth()
    note = f" Left out, without ground truth: {', '.join(left_out)}." if left_out else ""
    sections = [
        f"<h1>{escape(title)}</h1><p>Protocol <b>{escape(results.protocol)}</b>; mAP in percent."
        f"{escape(note)}</p>",
        _tiles(results),
        _thresholds(results),
        _errors(results),
        _per_class(results),
        _curves(results),
        _refinement(*refinement) if refinement is not None else "",
        _pictures(pictures),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{_PART_STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _tiles(results: Results) -> str:
    tiles = [
        f'<div class="tile"><b>{value:.2f}</b><span>{name.replace(" ", " mAP @ ")}</span></div>'
        for name, value in results.columns().items()
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _thresholds(results: Results) -> str:
    if results.video is None:
        return ""
    values = {iou: score.mean for iou, score in results.video.items() if not np.isnan(score.mean)}
    return f"<h2>Video mAP by threshold</h2>{threshold_curve(values)}" if values else ""


def _errors(results: Results) -> str:
    blocks = [
        f"<h3>{name.capitalize()}s</h3>{_error_table(errors)}"
        for name, errors in (("frame", results.frame_errors), ("tube", results.video_errors))
        if errors is not None and errors.per_class
    ]
    if not blocks:
        return ""
    return (
        "<h2>Where the error comes from</h2><p>What average precision at IoU "
        f"{ERROR_IOU:g} loses to each kind of mistake; each bar adds up to 100&nbsp;%.</p>"
        f"{legend(PARTS)}{''.join(blocks)}"
    )


def _error_table(errors: ErrorBreakdown) -> str:
    rows = [("mean", errors.mean), *errors.per_class.items()]
    body = "".join(
        f"<tr{' class=mean' if i == 0 else ''}><td>{escape(label)}</td>"
        f'<td class="wide">{stacked_bar(parts, height=22 if i == 0 else 16)}</td></tr>'
        for i, (label, parts) in enumerate(rows)
    )
    return f'<div class="scroll"><table>{body}</table></div>'


def _ap_columns(results: Results) -> list[tuple[str, str, Mapping[str, float]]]:
    """Series ("frame" or "video"), heading, and AP by label."""
    columns = []
    if results.frame is not None:
        columns.append(("frame", "frame 0.5", results.frame.per_class))
    if results.video is not None:
        video = results.video
        columns += [("video", f"video {iou:g}", video[iou].per_class) for iou in COLUMNS]
        labels = video[COLUMNS[0]].per_class
        strict = {
            k: float(np.mean([video[iou].per_class[k] for iou in STRICT_IOUS])) for k in labels
        }
        columns.append(("video", "video 0.5:0.95", strict))
    return columns


def _per_class(results: Results) -> str:
    columns = _ap_columns(results)
    if not columns:
        return ""
    means = list(results.columns().values())
    head = "".join(f"<th>{heading}</th>" for _, heading, _ in columns)
    rows = [
        f"<tr><td>{escape(label)}</td>"
        + "".join(_ap_cell(series, values[label]) for series, _, values in columns)
        + "</tr>"
        for label in columns[0][2]
    ]
    mean = "".join(f"<td>{value:.2f}</td>" for value in means)
    return (
        '<h2>Average precision by class</h2><div class="scroll"><table>'
        f"<tr><th>class</th>{head}</tr>{''.join(rows)}"
        f'<tr class="mean"><td>mean</td>{mean}</tr></table></div>'
    )


def _ap_cell(series: str, value: float) -> str:
    if np.isnan(value):
        return '<td title="no ground truth">&ndash;</td>'
    return f'<td class="ap {series}" style="--ap: {value:.1f}%">{value:.2f}</td>'


def _curves(results: Results) -> str:
    series = {}
    if results.frame is not None:
        series["frame"] = results.frame
    if results.video is not None:
        series["video"] = results.video[ERROR_IOU]
    if not series:
        return ""
    labels = next(iter(series.values())).curves
    panels = [
        precision_recall(
            label, {n: (s.curves[label], s.per_class[label]) for n, s in series.items()}
        )
        for label in labels
        if any(s.curves[label].positives for s in series.values())
    ]
    return (
        "<h2>Precision and recall</h2><p>Precision (up) over recall (right) at IoU "
        f"{ERROR_IOU:g}, with the AP of each class.</p>{legend(list(series))}"
        f'<div class="panels">{"".join(panels)}</div>'
    )


def _refinement(summary: str, curves: Mapping[str, Sequence[ActionnessCurve]]) -> str:
    panels = "".join(
        f"<h3>{escape(heading.capitalize())}</h3><div class="
        f'"pictures">{"".join(map(_actionness_panel, found))}</div>'
        for heading, found in curves.items()
        if found
    )
    return (
        f"<h2>Temporal refinement</h2><p>{escape(summary)}. Actionness along linked tubes over the "
        "frames of their videos: thin as it is, thick after the median filter, dashed the "
        "threshold; under it the extents of the ground truth of the tube's class, of the tube as "
        f"linked, and of what refinement left of it.</p>{panels}"
    )


def _actionness_panel(curve: ActionnessCurve) -> str:
    caption = escape(curve.caption)
    return f"<figure>{actionness_chart(curve)}<figcaption>{caption}</figcaption></figure>"


def _pictures(pictures: Sequence[tuple[str, bytes]]) -> str:
    if not pictures:
        return ""
    figures = [
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode("ascii")}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, png in pictures
    ]
    return f'<h2>Tubes</h2><div class="pictures">{"".join(figures)}</div>'
