"""What a file holds, as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcsc_d2.tubes.checks import index_of
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.structures import Tubes


def summary(what: Detections | Tubes | GroundTruth, video: str | None = None) -> str:
    """Count by class; with ``video``, what that one holds. ValueError names an unknown one."""
    if isinstance(what, GroundTruth):
        text = _tubes(what.tubes, video)
        splits = [f"{len(a)} + {len(b)}" for a, b in zip(what.train, what.test, strict=False)]
        return f"{text}\ntraining + test videos of each split: {', '.join(splits)}"
    return _tubes(what, video) if isinstance(what, Tubes) else _detections(what, video)


def _detections(detections: Detections, video: str | None) -> str:
    if video is not None:
        index_of(detections.videos, np.array([video]), "video")
        detections = detections.select([video])
    count = np.bincount(detections.classes, minlength=len(detections.labels))
    best = np.full(len(detections.labels), np.nan)
    np.fmax.at(best, detections.classes, detections.scores.astype(np.float64))
    rows = [
        (str(label), f"{n}", f"{n / max(len(detections.frame_ptr) - 1, 1):.2f}", f"{score:.3f}")
        for label, n, score in zip(detections.labels, count, best, strict=True)
    ]
    head = (
        f"{len(detections)} detections, {len(detections.videos)} videos, "
        f"{detections.nframes.sum()} frames"
        + ("" if detections.actionness is None else ", with actionness")
    )
    return "\n".join([head, *_table(("class", "detections", "a frame", "best score"), rows)])


def _tubes(tubes: Tubes, video: str | None) -> str:
    if video is not None:
        return _tubes_of_video(tubes, video)
    count = np.bincount(tubes.classes, minlength=len(tubes.labels))
    length = np.bincount(tubes.classes, tubes.lengths, minlength=len(tubes.labels))
    rows = [
        (str(label), f"{n}", f"{total / n:.1f}" if n else "-")
        for label, n, total in zip(tubes.labels, count, length, strict=True)
    ]
    head = f"{len(tubes)} tubes, {len(tubes.videos)} videos, {len(tubes.boxes)} boxes"
    head += "" if tubes.actionness is None else ", with actionness"
    return "\n".join([head, *_table(("class", "tubes", "mean length"), rows)])


def _tubes_of_video(tubes: Tubes, video: str) -> str:
    number = index_of(tubes.videos, np.array([video]), "video")[0]
    tubes = tubes.take(tubes.video == number)
    tubes = tubes.take(np.argsort(-tubes.scores, kind="stable"))
    rows = [
        (str(tubes.labels[cls]), f"{score:.3f}", f"{start}", f"{last}", _extent(boxes))
        for cls, score, start, last, boxes in zip(
            tubes.classes,
            tubes.scores,
            tubes.start,
            tubes.last,
            np.split(tubes.boxes, tubes.ptr[1:-1]),
            strict=False,
        )
    ]
    head = ("class", "score", "first frame", "last frame", "first box -> last box")
    return "\n".join([f"{len(tubes)} tubes in '{video}'", *_table(head, rows)])


def _extent(boxes: np.ndarray) -> str:
    return " -> ".join(" ".join(f"{x:.0f}" for x in box) for box in boxes[[0, -1]])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in (head, *rows)
    ]
