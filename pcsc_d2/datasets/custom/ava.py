"""The CSV of AVA: a box at a second of a video, in shares of the frame, and the action's number.

A row is ``video, second, x1, y1, x2, y2, action, person``, without a header. Who does several
things has a row for each of them. The actions' names are in a ``.pbtxt`` file beside it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pcsc_d2.datasets.custom.rows import Annotations, plain_name, plain_text
from pcsc_d2.datasets.custom.written import WriteOptions, WrittenTube, short, written_tubes
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.text import plain_cell, text_of_cell
from pcsc_d2.video.decoding import open_reader

_COLUMNS = 8
# Seconds between two key frames of one person, which AVA has one of every second.
_STEP = 1.0
_ITEM = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"""\bname\s*:\s*("(?:[^"\\]|\\.)*"|'[^']*')""")
_ID = re.compile(r"\b(?:label_)?id\s*:\s*(\d{1,9})")


def is_ava(path: Path) -> bool:
    """Whether a CSV file has no header but begins with a row of AVA's."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file), [])
    return len(first) == _COLUMNS and _is_number(first[1])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Clip(NamedTuple):
    """What AVA's seconds and shares are of."""

    rate: float
    height: int
    width: int


def read_ava(path: Path, known: Mapping[str, Path]) -> Annotations:
    """Read a file; the arguments and errors are those of ``formats.read_rows``.

    A second is the frame that is shown then, by the video's rate. Between key frames a second
    apart boxes are interpolated, and a longer gap ends a tube.
    """
    names = read_actions(path)
    rows = Annotations(path, "line", interpolated=True)
    rows.names = tuple(names[i] for i in sorted(names))
    clips: dict[str, _Clip] = {}
    last: dict[tuple[str, str, str], tuple[float, int]] = {}
    with reading(path, "CSV in UTF-8"), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        # By time, so that a gap is one however the rows lie.
        table = sorted(enumerate(reader, start=1), key=lambda row: _second(row[1]))
        for line, record in table:
            with rows.leaving_out(line):
                _add_record(rows, line, record, names, known, clips, last)
    return rows


def _second(record: list[str]) -> float:
    return float(record[1]) if len(record) > 1 and _is_number(record[1]) else 0.0


def _add_record(
    rows: Annotations,
    line: int,
    record: list[str],
    names: Mapping[int, str],
    known: Mapping[str, Path],
    clips: dict[str, _Clip],
    last: dict[tuple[str, str, str], tuple[float, int]],
) -> None:
    if len(record) != _COLUMNS:
        raise rows.wrong(line, f"{len(record)} values; AVA has {_COLUMNS}")
    video, second, person = plain_name(text_of_cell(record[0])), float(record[1]), record[7].strip()
    if not np.isfinite(second) or not 0 <= second < 1e8:
        raise rows.wrong(line, f"second {record[1]} cannot be")
    if int(record[6]) not in names:
        raise rows.wrong(line, f"action {record[6]} is not in the list of actions")
    clip = clips.get(video) or _clip(rows, line, video, known)
    clips[video] = clip
    label = names[int(record[6])]
    before, segment = last.get((video, person, label), (second, 0))
    segment += second - before > _STEP + 1e-6
    last[video, person, label] = second, segment
    sides = (clip.width, clip.height, clip.width, clip.height)
    box = tuple(float(share) * side for share, side in zip(record[2:6], sides))
    if max(map(abs, map(float, record[2:6]))) > 2:
        raise rows.wrong(line, f"the box {' '.join(record[2:6])} is no share of the frame")
    frame = round(second * clip.rate) + 1
    rows.add(line, video, f"{person}.{segment}.{record[6]}", label, frame, box)


def _clip(rows: Annotations, line: int, video: str, known: Mapping[str, Path]) -> _Clip:
    if video not in known:
        raise rows.wrong(line, f"no video '{video}', whose rate and size AVA's rows need")
    reader = open_reader(known[video], "coded")
    try:
        return _Clip(reader.rate, *reader.size)
    finally:
        reader.close()


def read_actions(path: Path) -> dict[int, str]:
    """The names of the actions by number, of the ``.pbtxt`` file beside a CSV file.

    Raises:
        ValueError: there is none, or it has no action in it.
    """
    beside = path.with_suffix(".pbtxt")
    found = [beside] if beside.is_file() else sorted(path.parent.glob("*.pbtxt"))
    if not found:
        raise ValueError(
            f"{path}: looks like AVA's, whose list of actions is missing: put its .pbtxt beside it"
        )
    with reading(found[0], "a list of actions"):
        names: dict[int, str] = {}
        for item in _ITEM.findall(found[0].read_text(encoding="utf-8")):
            name, number = _NAME.search(item), _ID.search(item)
            if name and number:
                names[int(number[1])] = plain_text(_unquoted(name[1]))
        if not names:
            raise ValueError("there is no item with a name and an id")
    return names


def _unquoted(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text[1:-1]


def write_ava(folder: Path, truth: GroundTruth, options: WriteOptions) -> None:
    """``annotations.csv`` and ``annotations.pbtxt``: the boxes at whole seconds.

    Tubes that have the same box at a second are one person who does several things.

    Raises:
        ValueError: the rate of a video is not known.
    """
    sizes = dict(zip(truth.videos.tolist(), truth.resolution.tolist()))
    rows = []
    for tube in written_tubes(truth):
        rate = options.rates.get(tube.video)
        if not rate:
            raise ValueError(f"{tube.video}: its frames per second are not known, as AVA needs")
        rows += [(tube.video, s, box, tube) for s, box in _at_seconds(tube, rate)]
    rows.sort(key=lambda row: row[:2])
    persons = _persons(rows)
    with atomic_write(folder / "annotations.csv", "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        for video, second, box, tube in rows:
            height, width = sizes[video]
            shares = [short(v / side) for v, side in zip(box, (width, height) * 2)]
            action = truth.labels.index(tube.label) + 1
            writer.writerow(
                [plain_cell(video), f"{second:04d}", *shares, action, persons[tube.number]]
            )
    with atomic_write(folder / "annotations.pbtxt", "w") as file:
        for i, label in enumerate(truth.labels, start=1):
            name = json.dumps(label, ensure_ascii=False)
            file.write(f"item {{\n  name: {name}\n  id: {i}\n}}\n")


def _at_seconds(tube: WrittenTube, rate: float) -> Iterator[tuple[int, list[float]]]:
    first, last = int(tube.frames[0]), int(tube.frames[-1])
    for second in range(int((first - 2) / rate), int(last / rate) + 2):
        frame = round(second * rate) + 1
        if second >= 0 and first <= frame <= last:
            yield second, tube.boxes[frame - first].tolist()


def _persons(rows: list[tuple[str, int, list[float], WrittenTube]]) -> dict[int, int]:
    """Tube -> person, from 1: who is at the same place at the same time is the same.

    A person has one tube of a class: of two, readers could not tell where one ends.
    """
    persons: dict[int, int] = {}
    labels: dict[int, set[str]] = {}
    at: dict[tuple[str, int, tuple[float, ...]], list[int]] = {}
    for video, second, box, tube in rows:
        here = at.setdefault((video, second, tuple(box)), [])
        if tube.number not in persons:
            free = (p for p in here if tube.label not in labels[p])
            person = next(free, len(labels) + 1)
            persons[tube.number] = person
            labels.setdefault(person, set()).add(tube.label)
        here.append(persons[tube.number])
    return persons
