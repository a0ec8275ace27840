"""The tubes of one video as JSON and CSV, and a summary for the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.detect.kinetics import BEST
from pcsc_d2.detect.video_result import VideoResult
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.parsing import reading, real_number, whole_number
from pcsc_d2.utils.text import plain_cell

SUMMARY, JSON, CSV, VIDEO = "summary.json", "tubes.json", "tubes.csv", "annotated.mp4"
# What ``tubes.json`` is, for other programs; ``SCHEMA_FORMAT`` is in the file.
SCHEMA, SCHEMA_FORMAT = Path(__file__).with_name("tubes.schema.json"), 1

_TUBE_TYPES = {
    "tube": int, "label": str, "score": float, "start": float, "end": float, "start_frame": int,
    "end_frame": int,
}  # fmt: skip
_GUESS_TYPES = {"label": str, "score": float}
_TYPES = {
    "video": str, "height": int, "width": int, "frames": int, "start": float, "end": float,
    "problem": str, "model": str, "stamp": dict, "tubes": list,
}  # fmt: skip
_NUMBERS = {int: whole_number, float: real_number}


def _typed(about: dict[str, Any], types: dict[str, type]) -> dict[str, Any]:
    """What is there, with every value that has a type in it; ValueError where one has another."""
    typed = dict(about)
    for name, kind in types.items():
        if kind in _NUMBERS:
            typed[name] = _NUMBERS[kind](about[name])
        elif type(about[name]) is not kind:
            raise ValueError(f"'{name}' is {about[name]!r}")
    return typed


def _checked(about: Any) -> dict[str, Any]:
    return _typed(about, _TYPES) | {"tubes": [_checked_tube(tube) for tube in about["tubes"]]}


def _checked_tube(about: Any) -> dict[str, Any]:
    tube = _typed(about, _TUBE_TYPES | ({"person": int} if "person" in about else {}))
    if tube.get("kinetics"):
        tube["kinetics"] = [_typed(guess, _GUESS_TYPES) for guess in tube["kinetics"]]
    return tube


@dataclass(frozen=True)
class Summary:
    """What the page and ``--resume`` need to know of a video.

    Attributes:
        video: name for people.
        height, width: pixels.
        frames: looked through.
        start, end: seconds of the part that was looked through.
        problem: what ended it early, or empty.
        model: what it was found with.
        stamp: what must be the same for the results to be still valid.
        tubes: of each its number, label, score, and first and last time and frame; and where they
            were asked for Kinetics' names, best first, with their scores, and its person.
    """

    video: str
    height: int
    width: int
    frames: int
    start: float
    end: float
    problem: str
    model: str
    stamp: dict[str, Any] = field(default_factory=dict)
    tubes: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Summary | None:
        """Read a file; None where there is none, or one that this version did not write."""
        try:
            with reading(path, "a summary"):
                return cls(**_checked(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError):
            return None

    @classmethod
    def from_json(cls, about: object) -> Summary | None:
        """A summary from its fields; None where this version did not write them."""
        try:
            return cls(**_checked(about))
        except (ValueError, TypeError, KeyError):
            return None

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        with atomic_write(path, "w") as file:
            json.dump(asdict(self), file, indent=1)


def partly_done(video: str, problem: str) -> str:
    """The line about a video that ended early."""
    return f"{video}: {problem} (what could be read is done)"


def summarise(result: VideoResult, video: str, model: str, stamp: dict[str, Any]) -> Summary:
    """The summary of what was found in a video."""
    start, end = result.extent
    height, width = result.size
    return Summary(
        video,
        height,
        width,
        len(result.times),
        round(start, 4),
        round(end, 4),
        result.problem,
        model,
        stamp,
        [_outline(result, *each) for each in result.in_order()],
    )


def _outline(result: VideoResult, number: int, position: int) -> dict[str, Any]:
    tubes = result.tubes
    start, end = result.spans[position].tolist()
    outline = {
        "tube": number,
        "label": str(tubes.labels[tubes.classes[position]]),
        "score": round(float(tubes.scores[position]), 4),
        "start": round(start, 4),
        "end": round(end, 4),
        "start_frame": int(tubes.start[position]),
        "end_frame": int(tubes.last[position]),
    }
    if result.kinetics is not None:
        guesses = result.kinetics[position]
        outline["kinetics"] = [{"label": g.label, "score": round(g.score, 4)} for g in guesses]
    if result.persons is not None:
        outline["person"] = int(result.persons[position])
    return outline


def persons_of(tubes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each person of a video with first and last second, and what they did when, in order."""
    found: dict[int, list[dict[str, Any]]] = {}
    names = ("label", "start", "end", "score", "tube")
    for tube in sorted(tubes, key=lambda tube: (tube["start"], tube["tube"])):
        found.setdefault(tube["person"], []).append({name: tube[name] for name in names})
    return [
        {
            "person": person,
            "start": labels[0]["start"],
            "end": max(label["end"] for label in labels),
            "labels": labels,
        }
        for person, labels in sorted(found.items())
    ]


def write_json(path: Path, summary: Summary, result: VideoResult) -> None:
    """Write the summary with, for each tube, a box, a score and a time of every frame.

    ``tubes.schema.json`` beside this module is its JSON Schema.

    Frames are 1-based; times are seconds at which a frame is shown, ``end`` when the last is
    gone; boxes x1 y1 x2 y2 in pixels, 0-based, corners inclusive. A tube is a line. Where they
    were asked for, ``persons`` says who does what when.
    """
    head = {"format": SCHEMA_FORMAT}
    head |= {k: v for k, v in asdict(summary).items() if k not in ("tubes", "stamp")}
    head["labels"] = result.tubes.labels.tolist()
    if result.persons is not None:
        head["persons"] = persons_of(summary.tubes)
    with atomic_write(path, "w") as file:
        file.write(json.dumps(head, indent=1)[:-2] + ',\n "tubes": [')
        for i, (_, position) in enumerate(result.in_order()):
            file.write(",\n  " if i else "\n  ")
            json.dump(summary.tubes[i] | _columns(result, position), file)
        file.write("\n ]\n}\n")


def _columns(result: VideoResult, position: int) -> dict[str, Any]:
    tubes = result.tubes
    part = slice(tubes.ptr[position], tubes.ptr[position + 1])
    frames = np.arange(tubes.start[position], tubes.last[position] + 1)
    columns = {
        "times": _rounded(result.shown(frames), 4),
        "boxes": _rounded(tubes.boxes[part], 2),
        "scores": _rounded(tubes.box_scores[part], 4),
    }
    if tubes.actionness is not None:
        columns["actionness"] = _rounded(tubes.actionness[part], 4)
    return columns


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return np.asarray(values, np.float64).round(digits).tolist()


def write_csv(path: Path, summary: Summary, result: VideoResult) -> None:
    """Write a row for each box, by tube, then frame; the columns are in the first row."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = ["tube", "label", "tube_score", "frame", "seconds", "score", "x1", "y1", "x2", "y2"]
        if result.tubes.actionness is not None:
            names.append("actionness")
        if result.kinetics is not None:
            for place in range(1, BEST + 1):
                names += [f"kinetics_{place}", f"kinetics_{place}_score"]
        if result.persons is not None:
            names.append("person")
        writer.writerow(names)
        for i, (_, position) in enumerate(result.in_order()):
            writer.writerows(_rows(summary.tubes[i], _columns(result, position)))


def _rows(outline: dict[str, Any], columns: dict[str, Any]) -> Iterator[list[Any]]:
    tube = [outline["tube"], plain_cell(outline["label"]), outline["score"]]
    extra = columns.get("actionness")
    last = [value for guess in outline.get("kinetics", []) for value in guess.values()]
    last += [outline["person"]] if "person" in outline else []
    each = zip(columns["times"], columns["scores"], columns["boxes"])
    for i, (time, score, box) in enumerate(each):
        row = [*tube, outline["start_frame"] + i, time, score, *box]
        yield [*row, *last] if extra is None else [*row, extra[i], *last]
