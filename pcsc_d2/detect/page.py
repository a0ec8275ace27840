"""One HTML page for all videos: each with its timeline, its tubes, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.detect.results import CSV, JSON, VIDEO, Summary
from pcsc_d2.pages import render_page
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.video.drawing import color_of
from pcsc_d2.video.labels import ink_on
from pcsc_d2.video.timeline import clock, marks, pack_rows

_TEMPLATE = Path(__file__).with_name("page.html")
# Tubes that are shown of a video, the best ones; the files have them all.
_MOST_TUBES = 200
# Lines of what could not be done; the counts beside the page have more.
_MOST_PROBLEMS = 200


def write_page(
    path: Path,
    videos: Mapping[str, Summary],
    problems: Sequence[str],
    up: str = "",
    others: Mapping[str, str] | None = None,
) -> None:
    """Write the page atomically.

    Args:
        path: the videos' folders are beside it.
        videos: folder -> what is in it.
        problems: one line each for the videos that could not be done.
        up: the way from the page to where the folders are, as "../".
        others: text -> address of pages to go to from this one.
    """
    models = sorted({v.model for v in videos.values()})
    count = sum(len(v.tubes) for v in videos.values())
    found = f"{counted(count, 'tube')} in {counted(len(videos), 'video')}."
    page = render_page(
        _TEMPLATE,
        title="Detections",
        lead=" ".join([found, *models]),
        problems=problems[:_MOST_PROBLEMS],
        more_problems=max(len(problems) - _MOST_PROBLEMS, 0),
        up=up,
        others=others or {},
        labels=sorted({tube["label"] for v in videos.values() for tube in v.tubes}),
        files={"json": JSON, "csv": CSV, "video": VIDEO},
        videos=[_card(folder, video) for folder, video in videos.items()],
        kinetics=any(tube.get("kinetics") for video in videos.values() for tube in video.tubes),
        persons=any("person" in tube for video in videos.values() for tube in video.tubes),
    )
    with atomic_write(path, "w") as file:
        file.write(page)


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def best_of_classes(video: Summary) -> dict[str, float]:
    """The best score of each class in a video."""
    best: dict[str, float] = {}
    for tube in video.tubes:
        best[tube["label"]] = max(best.get(tube["label"], 0.0), tube["score"])
    return best


def _card(folder: str, video: Summary) -> dict[str, Any]:
    """What the template shows of a video."""
    tubes = sorted(video.tubes, key=lambda tube: -tube["score"])[:_MOST_TUBES]
    tubes.sort(key=lambda tube: tube["tube"])
    rows = pack_rows(np.array([[t["start"], t["end"]] for t in tubes]).reshape(-1, 2))
    scale = 100 / max(video.end - video.start, 1e-6)
    frames, seconds = counted(video.frames, "frame"), _time(video.end)
    return {
        "folder": folder,
        "name": video.video,
        "size": f"{video.width} x {video.height}, {frames}, {seconds} s",
        "problem": video.problem,
        "start": video.start,
        "end": video.end,
        "rows": int(rows.max(initial=0)) + 1,
        "tubes": [_bar(tube, row, video.start, scale) for tube, row in zip(tubes, rows.tolist())],
        "marks": [
            {"left": round((time - video.start) * scale, 3), "text": clock(time)}
            for time in marks(video.start, video.end)
        ],
        "best": best_of_classes(video),
        "more": len(video.tubes) - len(tubes),
    }


def _bar(tube: Mapping[str, Any], row: int, begin: float, scale: float) -> dict[str, Any]:
    """A tube on the timeline; places and lengths in percent of it."""
    start, end, person = tube["start"], tube["end"], tube.get("person")
    color = color_of(person or tube["tube"])
    times = {"from": _time(start), "to": _time(end)}
    who = "" if person is None else f"person {person}: "
    return {
        "label": tube["label"],
        "text": tube["label"] if person is None else f"{person}: {tube['label']}",
        "score": tube["score"],
        "person": person,
        "kinetics": ", ".join(f"{g['label']} {g['score']:.2f}" for g in tube.get("kinetics") or []),
        "caption": f"{who}{tube['label']} {tube['score']:.2f}, {times['from']} to {times['to']}",
        "start": start,
        "end": end,
        **times,
        "row": row,
        "left": round((start - begin) * scale, 3),
        "width": round((end - start) * scale, 3),
        "color": color,
        "ink": ink_on(color),
    }


def _time(seconds: float) -> str:
    """A time with as many digits as its neighbours in a column have."""
    return f"{seconds:.2f}" if seconds < 60 else clock(seconds)
