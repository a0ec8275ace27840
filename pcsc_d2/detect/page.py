"""One HTML page for all videos: each with its timeline, its tubes, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from pcsc_d2.detect.results import CSV, JSON, VIDEO, Summary
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.video.drawing import color_of
from pcsc_d2.video.timeline import clock, pack_rows

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --soft: #5d6876; --rule: #dde2e8;
  --tint: #f4f6f8; --bad: #b3372b; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6eaef; --soft: #9aa5b1;
  --rule: #2e363f; --tint: #1c2229; --bad: #f08a7e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 0; overflow-wrap: anywhere; }
p { color: var(--soft); margin: 4px 0 14px; overflow-wrap: anywhere; }
.bad { color: var(--bad); } a { color: inherit; }
article { border-top: 1px solid var(--rule); padding: 24px 0; display: grid; gap: 4px 28px;
  grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); }
article > header { grid-column: 1 / -1; }
@media (max-width: 760px) { article { grid-template-columns: minmax(0, 1fr); } }
video { width: 100%; max-height: 70vh; border-radius: 6px; background: #000; display: block; }
.line { position: relative; margin-top: 10px; background: var(--tint); border-radius: 4px;
  overflow: hidden; cursor: pointer; }
.line i { position: absolute; height: 12px; border-radius: 3px; min-width: 2px; }
.line b { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); left: 0; }
.ends { display: flex; justify-content: space-between; color: var(--soft); font-size: 12px; }
.tubes { max-height: 420px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr[data-at] { cursor: pointer; } tr[data-at]:hover { background: var(--tint); }
td s { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px; }
"""
_SCRIPT = """
for (const card of document.querySelectorAll("article")) {
  const video = card.querySelector("video"), line = card.querySelector(".line");
  if (!video || !line) continue;
  const begin = +line.dataset.begin, long = +line.dataset.end - begin;
  const seek = t => { video.currentTime = Math.max(t - begin, 0); video.play(); };
  for (const row of card.querySelectorAll("tr[data-at]"))
    row.onclick = () => seek(+row.dataset.at);
  line.onclick = e => {
    const box = line.getBoundingClientRect();
    seek(begin + (e.clientX - box.left) / box.width * long);
  };
  video.ontimeupdate = () =>
    line.querySelector("b").style.left = 100 * video.currentTime / long + "%";
}
"""
_ROW_HEIGHT, _MOST_ROWS = 14, 12
# Tubes in a video's table, the best ones; the files have them all.
_MOST_TUBES = 200


def write_page(path: Path, videos: Mapping[str, Summary], problems: Sequence[str]) -> None:
    """Write the page atomically.

    Args:
        path: the videos' folders are beside it.
        videos: folder -> what is in it.
        problems: one line each for the videos that could not be done.
    """
    models = sorted({v.model for v in videos.values()})
    count = sum(len(v.tubes) for v in videos.values())
    found = f"{count} tubes in {len(videos)} videos. " + " ".join(map(escape, models))
    cards = "".join(_card(folder, video) for folder, video in videos.items())
    with atomic_write(path, "w") as file:
        file.write(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Detections</title><style>{_STYLE}</style></head><body>"
            f"<h1>Detections</h1><p>{found}</p>{_problems(problems)}{cards}"
            f"<script>{_SCRIPT}</script></body></html>\n"
        )


def _problems(problems: Sequence[str]) -> str:
    lines = "".join(f'<p class="bad">{escape(problem)}</p>' for problem in problems)
    return f"<h2>Could not be done</h2>{lines}" if lines else ""


def _card(folder: str, video: Summary) -> str:
    link = quote(folder)
    size = f"{video.width} x {video.height}, {video.frames} frames, {clock(video.end)} s"
    files = f'<a href="{link}/{JSON}">JSON</a> <a href="{link}/{CSV}">CSV</a>'
    bad = f'<p class="bad">{escape(video.problem)}</p>' if video.problem else ""
    return (
        f"<article><header><h2>{escape(folder)}</h2>"
        f"<p>{escape(video.video)} &middot; {size} &middot; {files}</p>{bad}"
        f'</header><div><video controls preload="metadata" src="{link}/{VIDEO}"></video>'
        f'{_timeline(video)}</div><div class="tubes">{_table(video)}</div></article>'
    )


def _timeline(video: Summary) -> str:
    spans = np.array([[t["start"], t["end"]] for t in video.tubes]).reshape(-1, 2)
    rows = pack_rows(spans, _MOST_ROWS)
    length = max(video.end - video.start, 1e-6)
    bars = "".join(
        f'<i style="top:{_ROW_HEIGHT * row + 1}px;left:{100 * (start - video.start) / length:.3f}%;'
        f'width:{100 * (end - start) / length:.3f}%;background:{_css(tube["tube"])}"'
        f' title="{escape(_caption(tube))}"></i>'
        for row, (start, end), tube in zip(rows.tolist(), spans, video.tubes)
    )
    height = _ROW_HEIGHT * (int(rows.max(initial=0)) + 1)
    return (
        f'<div class="line" style="height:{height}px" data-begin="{video.start}"'
        f' data-end="{video.end}">{bars}<b></b></div>'
        f'<div class="ends"><span>{clock(video.start)}</span><span>{clock(video.end)}</span></div>'
    )


def _caption(tube: dict) -> str:
    times = f"{clock(tube['start'])} to {clock(tube['end'])}"
    return f"{tube['label']} {tube['score']:.2f}, {times}"


def _table(video: Summary) -> str:
    if not video.tubes:
        return "<p>Nothing was found.</p>"
    best = sorted(video.tubes, key=lambda tube: -tube["score"])[:_MOST_TUBES]
    rows = "".join(
        f'<tr data-at="{t["start"]}"><td><s style="background:{_css(t["tube"])}"></s>'
        f"{escape(t['label'])}</td><td>{t['score']:.2f}</td>"
        f"<td>{clock(t['start'])}</td><td>{clock(t['end'])}</td></tr>"
        for t in sorted(best, key=lambda tube: tube["tube"])
    )
    more = len(video.tubes) - len(best)
    note = f"<p>{more} tubes of lower scores are in the files.</p>" if more else ""
    head = "<tr><th>tube</th><th>score</th><th>from</th><th>to</th></tr>"
    return f"<table>{head}{rows}</table>{note}"


def _css(number: int) -> str:
    return "rgb({},{},{})".format(*color_of(number))
