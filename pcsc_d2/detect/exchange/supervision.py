"""``Detections`` of supervision, whose annotators, zones and counters then work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pcsc_d2.tubes import Tubes
from pcsc_d2.tubes.boxes import to_exclusive
from pcsc_d2.utils.extras import missing_package

if TYPE_CHECKING:
    import supervision


def detections(
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    labels: Sequence[str],
    ids: np.ndarray,
) -> supervision.Detections:
    """Boxes of one frame.

    Args:
        boxes: (n, 4) in pixels, corners inclusive; supervision's end where the last pixel ends.
        scores: (n,).
        classes: (n,) numbers.
        labels: n class names.
        ids: (n,) which boxes of several frames belong together.

    Raises:
        ModuleNotFoundError: supervision is not installed; one line.
    """
    try:
        import supervision as sv
    except ModuleNotFoundError as error:
        line = missing_package(error, "to_supervision", "supervision")
        raise ModuleNotFoundError(line, name=error.name) from None
    return sv.Detections(
        xyxy=to_exclusive(np.asarray(boxes, np.float32).reshape(-1, 4)),
        confidence=np.asarray(scores, np.float32),
        class_id=np.asarray(classes, int),
        tracker_id=np.asarray(ids, int),
        data={"class_name": np.array(labels, np.str_)},
    )


def to_supervision(
    tubes: Tubes, frame: int, persons: np.ndarray | None = None, video: int = 0
) -> supervision.Detections:
    """What is there in a frame.

    Args:
        tubes: of one or more videos.
        frame: 1-based.
        persons: (T,) of ``find_persons``, which are then the trackers' ids; None takes the tubes'
            positions, from 1 on.
        video: position of the video.
    """
    there = (tubes.start <= frame) & (frame <= tubes.last) & (tubes.video == video)
    there = np.flatnonzero(there)
    rows = tubes.ptr[there] + frame - tubes.start[there]
    classes = tubes.classes[there]
    ids = there + 1 if persons is None else persons[there]
    labels = [str(tubes.labels[c]) for c in classes]
    return detections(tubes.boxes[rows], tubes.box_scores[rows], classes, labels, ids)
