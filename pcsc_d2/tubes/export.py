"""Detections and tubes as JSON and CSV, for people."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.utils import files as io
from pcsc_d2.utils.text import plain_cell


def to_csv(what: Detections | Tubes, path: str | os.PathLike[str]) -> None:
    """One row a box: video, frame (1-based), label, score, x1, y1, x2, y2 (0-based, inclusive).

    Tubes have two columns more: the tube's number and its score. Actionness is the last column
    where it is there. Names that a spreadsheet would take for a formula begin with ``'``.
    """
    columns = _columns(what)
    with io.atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(_cells(column) for column in columns.values()), strict=True))


def to_json(what: Detections | Tubes, path: str | os.PathLike[str]) -> None:
    """A list with one object a line: of a box (detections) or of a tube with its boxes."""
    rows = _tube_rows(what) if isinstance(what, Tubes) else _detection_rows(what)
    with io.atomic_write(path, "w") as file:
        file.write("[")
        for i, row in enumerate(rows):
            file.write(",\n" if i else "\n")
            json.dump(row, file)
        file.write("\n]\n")


def _columns(what: Detections | Tubes) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    if isinstance(what, Tubes):
        tube = what.box_tubes
        columns |= {"tube": tube, "tube_score": what.scores[tube]}
        video, frame = what.video[tube], what.box_frames
        classes, scores = what.classes[tube], what.box_scores
    else:
        video = np.searchsorted(what.video_ptr, what.frame_rows, side="right") - 1
        frame = what.frame_rows - what.video_ptr[video] + 1
        classes, scores = what.classes, what.scores
    columns |= {"video": what.videos[video], "frame": frame, "label": what.labels[classes]}
    columns["score"] = scores
    columns |= dict(zip(("x1", "y1", "x2", "y2"), what.boxes.T, strict=True))
    if what.actionness is not None:
        columns["actionness"] = what.actionness
    return columns


def _detection_rows(detections: Detections) -> Iterator[dict[str, Any]]:
    columns = _columns(detections)
    for values in zip(*(_plain(column) for column in columns.values()), strict=True):
        yield dict(zip(columns, values, strict=True))


def _tube_rows(tubes: Tubes) -> Iterator[dict[str, Any]]:
    for i in range(len(tubes)):
        rows = slice(tubes.ptr[i], tubes.ptr[i + 1])
        row = {
            "video": str(tubes.videos[tubes.video[i]]),
            "label": str(tubes.labels[tubes.classes[i]]),
            "score": _plain(tubes.scores[i : i + 1])[0],
            "start": int(tubes.start[i]),
            "end": int(tubes.last[i]),
            "boxes": [_plain(box) for box in tubes.boxes[rows]],
            "scores": _plain(tubes.box_scores[rows]),
        }
        if tubes.actionness is not None:
            row["actionness"] = _plain(tubes.actionness[rows])
        yield row


def _plain(column: np.ndarray) -> list[Any]:
    """Python values; float32 as the shortest decimals that read back the same."""
    if column.dtype == np.float32:
        return [float(str(value)) for value in column]
    return column.tolist()


def _cells(column: np.ndarray) -> list[Any]:
    """The same for CSV."""
    return [plain_cell(value) for value in _plain(column)]
