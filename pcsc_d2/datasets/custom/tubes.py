"""Rows of one's own annotations to ground truth: tubes that fit the videos."""

from __future__ import annotations

import difflib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pcsc_d2.datasets.custom.description import DESCRIPTION, Description
from pcsc_d2.datasets.custom.formats import read_rows
from pcsc_d2.datasets.custom.rows import Annotations
from pcsc_d2.datasets.repair import AnnotationIssues, Clip, RawTubes, checked_tubes, measure_clips
from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.tubes.boxes import to_inclusive
from pcsc_d2.video.files import find_videos

logger = logging.getLogger(__name__)
# A gap that is interpolated whatever its length.
_ANY_GAP = 1 << 40
# Pixels of the shortest side of a box, less what rounding may take.
_SMALLEST = 0.99


def read_own(
    videos: Path, annotations: Sequence[Path], description: Description, issues: AnnotationIssues
) -> GroundTruth:
    """Ground truth from annotation files and the videos that they speak of.

    Boxes that cannot be are left out and counted in ``issues``, and a warning names the first of
    each kind by its place in the file.

    Args:
        videos: the folder of videos; their numbers of frames and sizes are looked up where the
            annotations do not tell them.
        annotations: the files.
        description: of the dataset.
        issues: to be filled.

    Raises:
        FileNotFoundError: a file or folder is not there.
        ValueError: an annotation that cannot be understood; one line with file and place.
    """
    there = find_videos(videos)
    tables = [read_rows(path, there, description.label_attribute) for path in annotations]
    for table in tables:
        _refuse_shares(table)
        issues.rows[str(table.source)] += len(table.unusable)
    crowds = [table.crowds for table in tables if table.crowds is not None]
    labels = _labels([*tables, *crowds], description)
    names = sorted({name for t in (*tables, *crowds) for name in (*t.videos, *t.sizes)})
    clips = measure_clips({n: there[n] for n in names if n in there}, description.decoding, issues)
    size = _sizes(names, [*tables, *crowds], clips)
    known, sizes = np.array(names, np.str_), (size[:, 0], size[:, 1:])

    def checked(of: Sequence[Annotations]) -> Tubes:
        parts = [_tubes(t, names, labels, size, there, description, issues) for t in of]
        return checked_tubes(_joined(parts), known, labels, *sizes, issues)

    regions = checked(crowds) if crowds else None
    return GroundTruth(labels, known, *sizes, checked(tables), [], [], regions)


def _joined(parts: Sequence[RawTubes]) -> RawTubes:
    return RawTubes(
        *(
            np.concatenate([getattr(p, column) for p in parts])
            for column in ("video", "classes", "start")
        ),
        np.cumsum([0, *(n for p in parts for n in np.diff(p.ptr))]),
        np.concatenate([p.boxes for p in parts]),
    )


def _refuse_shares(table: Annotations) -> None:
    """Raise ValueError for boxes between 0 and 1: shares of the frame, as AVA has them."""
    if table.boxes and np.abs(np.array(table.boxes)).max() <= 1:
        box = _shown(np.array(table.boxes[0]))
        what = f"the box {box}, like all, is between 0 and 1: a share of the frame; write pixels"
        raise table.wrong(table.places[0], what)


def _labels(tables: Sequence[Annotations], description: Description) -> tuple[str, ...]:
    used = {label for table in tables for label in table.labels}
    if not description.labels:
        told = [name for table in tables for name in table.names or ()]
        return tuple(dict.fromkeys([*told, *sorted(used)]))
    for table in tables:
        for place, label in zip(table.places, table.labels):
            if label not in description.labels:
                raise table.wrong(
                    place,
                    f"label '{label}' is not among the labels of {DESCRIPTION}"
                    + _meant(label, description.labels),
                )
    return description.labels


def _meant(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"; is '{close[0]}' meant?"
    return f" ({', '.join(sorted(names)[:5])}{' ...' if len(names) > 5 else ''})"


def _sizes(
    names: Sequence[str], tables: Sequence[Annotations], clips: Mapping[str, Clip]
) -> np.ndarray:
    """(V, 3) frames, height and width: as told, else as they are, else what the boxes need."""
    needed: dict[str, list[float]] = {name: [1, 1, 1] for name in names if name not in clips}
    if needed:
        for table in tables:
            for name, frame, box in zip(table.videos, table.frames, table.boxes):
                if name in needed:
                    ends = (frame + 1, box[3], box[2])
                    needed[name] = [max(pair) for pair in zip(needed[name], ends)]
    rows = []
    for name in names:
        told = next((t.sizes[name] for t in tables if name in t.sizes), (None, None, None))
        actual = clips.get(name) or needed[name]
        rows.append([int(np.ceil(a or b)) for a, b in zip(told, actual)])
    return np.array(rows, np.int64).reshape(-1, 3)


def _tubes(
    table: Annotations,
    names: list[str],
    labels: tuple[str, ...],
    size: np.ndarray,
    there: Mapping[str, Path],
    description: Description,
    issues: AnnotationIssues,
) -> RawTubes:
    """The tubes of one file: rows by track in order, cut where frames or the class do not go on."""
    first = description.first_frame if table.first_frame is None else table.first_frame
    index = {name: i for i, name in enumerate(names)}
    video = np.array([index[name] for name in table.videos], np.int32)
    cls = np.array([labels.index(label) for label in table.labels], np.int16)
    frame = np.array(table.frames, np.int64) - first + 1
    boxes = np.array(table.boxes, np.float64).reshape(-1, 4)
    number: dict[tuple[int, str], int] = {}
    keys = zip(video.tolist(), table.tracks)
    track = np.array([number.setdefault(key, len(number)) for key in keys], np.int64)
    keep = _proper(table, video, frame, boxes, size, there, issues)
    order = np.flatnonzero(keep)
    order = order[np.lexsort([frame[order], track[order], video[order]])]
    order = _once(table, order, track, frame, issues)
    gap = _ANY_GAP if table.interpolated else description.max_gap
    rows, frame, boxes = _interpolated(order, track, frame, boxes, cls, gap)
    track, cls, video = track[rows], cls[rows], video[rows]
    new = (np.diff(track, prepend=-1) != 0) | (np.diff(frame, prepend=-1) != 1)
    new |= np.diff(cls, prepend=-1) != 0
    start = np.flatnonzero(new)
    ptr, boxes = np.append(start, len(frame)), to_inclusive(boxes).astype(np.float32)
    return RawTubes(video[start], cls[start], frame[start], ptr, boxes)


def _proper(
    table: Annotations,
    video: np.ndarray,
    frame: np.ndarray,
    boxes: np.ndarray,
    size: np.ndarray,
    there: Mapping[str, Path],
    issues: AnnotationIssues,
) -> np.ndarray:
    """Which rows can be used; the others are counted, and the first of each kind is named."""
    early = frame < 1
    zero = np.flatnonzero(frame == 0)
    if zero.size and table.first_frame is None:
        what = f'frame {table.frames[zero[0]]} is before the first; is "first_frame": 0 meant?'
        raise table.wrong(table.places[zero[0]], what)
    absent = np.array([name not in there for name in table.videos], bool)
    height_width = size[video, 1:]
    inverted = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    tiny = ~inverted & (boxes[:, 2:] - boxes[:, :2] < _SMALLEST).any(1)
    outside = (boxes[:, 2:] <= 0).any(1) | (boxes[:, :2] >= height_width[:, ::-1]).any(1)
    late = ~absent & (frame > size[video, 0])
    counted = ~absent & (inverted | outside | tiny | early)
    for rows, counter in ((counted, issues.dropped), (late & ~counted, issues.beyond)):
        counter.update(Counter(table.videos[i] for i in np.flatnonzero(rows)))
    for rows, text in (
        (early, lambda i: f"frame {table.frames[i]} is before the first"),
        (absent, lambda i: f"no video '{table.videos[i]}'{_meant(table.videos[i], list(there))}"),
        (inverted, lambda i: f"the box {_shown(boxes[i])} is inverted or empty"),
        (tiny, lambda i: f"the box {_shown(boxes[i])} is smaller than a pixel"),
        (outside & ~inverted, lambda i: f"the box {_shown(boxes[i])} is outside the image"),
        (
            late,
            lambda i: (
                f"frame {table.frames[i]} is beyond the end of '{table.videos[i]}', which "
                f"has {size[video[i], 0]} frames"
            ),
        ),
    ):
        _warn(table, np.flatnonzero(rows), text)
    return ~(early | inverted | tiny | (outside & ~absent) | late)


def _shown(box: np.ndarray) -> str:
    return " ".join(f"{value:g}" for value in box)


def _warn(table: Annotations, rows: np.ndarray, text: Callable[[int], str]) -> None:
    if rows.size:
        more = f", and {rows.size - 1:,} more like it" if rows.size > 1 else ""
        place = f"{table.source}, {table.where} {table.places[rows[0]]}"
        logger.warning("%s: %s; left out%s", place, text(rows[0]), more)


def _once(
    table: Annotations,
    order: np.ndarray,
    track: np.ndarray,
    frame: np.ndarray,
    issues: AnnotationIssues,
) -> np.ndarray:
    """The rows less those of a track that has a box at that frame already; these are counted."""
    same = (np.diff(track[order], prepend=-1) == 0) & (np.diff(frame[order], prepend=-1) == 0)
    twice = order[same]
    issues.rows[str(table.source)] += twice.size

    def text(i: int) -> str:
        return (
            f"track {table.tracks[i]} of '{table.videos[i]}' has two boxes at frame "
            f"{table.frames[i]}"
        )

    _warn(table, twice, text)
    return order[~same]


def _interpolated(
    order: np.ndarray,
    track: np.ndarray,
    frame: np.ndarray,
    boxes: np.ndarray,
    cls: np.ndarray,
    max_gap: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The row that each box comes from, its frame and itself, gaps filled."""
    if not order.size:
        return order, frame[order], boxes[order]
    step = np.diff(frame[order], append=frame[order[-1]])
    joined = np.diff(track[order], append=-1) == 0
    joined &= np.diff(cls[order].astype(int), append=-1) == 0
    repeat = np.where(joined & (step <= max_gap), step, 1)
    position = np.repeat(np.arange(len(order)), repeat)
    offset = np.arange(len(position)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    rows, following = order[position], order[np.minimum(position + 1, len(order) - 1)]
    part = (offset / repeat[position])[:, None]
    return rows, frame[rows] + offset, boxes[rows] * (1 - part) + boxes[following] * part
