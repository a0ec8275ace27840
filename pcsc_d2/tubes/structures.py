"""Action tubes as arrays with named fields, and their file.

Boxes are x1 y1 x2 y2 in pixels, 0-based, corners inclusive; frames are 1-based.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import numpy as np

from pcsc_d2.tubes import checks
from pcsc_d2.tubes.arrays import Arrays, cast_fields, fine_numbers, load_fields, ranges
from pcsc_d2.utils import files as io

# Fields whose arrays have other names in a file, as files of tubes have had them from the start.
_FILE_NAMES = {"classes": "cls", "scores": "score", "box_scores": "fscores"}


@dataclass(frozen=True, eq=False)
class Tubes:
    """Action tubes: one box a frame, no holes.

    Tube i's boxes are ``ptr[i]`` to ``ptr[i + 1]``, of frames ``start[i]`` onwards.

    Attributes:
        videos: (V,) names.
        labels: (C,) class names.
        video: (T,) int32 into ``videos``.
        classes: (T,) int16 into ``labels``.
        scores: (T,) float32.
        start: (T,) int32, the first frame, 1-based.
        ptr: (T+1,) int64 into the M boxes.
        boxes: (M, 4) float32.
        box_scores: (M,) float32, the boxes' scores.
        actionness: (M,) float32 in [0, 1], or None.

    Raises:
        ValueError: wrong shapes, unsorted pointers, an empty tube, NaN, inverted boxes,
            unknown class or video.
    """

    videos: np.ndarray
    labels: np.ndarray
    video: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    start: np.ndarray
    ptr: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    actionness: np.ndarray | None = None

    def __post_init__(self) -> None:
        dtypes = {
            "videos": np.str_,
            "labels": np.str_,
            "video": np.int32,
            "classes": np.int16,
            "scores": np.float32,
            "start": np.int32,
            "ptr": np.int64,
            "boxes": np.float32,
            "box_scores": np.float32,
            "actionness": np.float32,
        }
        cast_fields(self, dtypes)
        self._check()

    def __len__(self) -> int:
        return len(self.scores)

    def _check(self) -> None:
        count = len(self)
        checks.check_unique("videos", self.videos)
        checks.check_unique("labels", self.labels)
        for name in ("video", "classes", "start"):
            checks.check_shape(name, getattr(self, name), (count,))
        checks.check_shape("boxes", self.boxes, (len(self.boxes), 4))
        checks.check_pointers("ptr", self.ptr, count, len(self.boxes), least=1)
        checks.check_shape("box_scores", self.box_scores, (len(self.boxes),))
        checks.check_range("video", self.video, len(self.videos), "video", lambda i: f"tube {i}")
        checks.check_range(
            "classes", self.classes, len(self.labels), "class", lambda i: f"tube {i}"
        )
        checks.check_finite("scores", self.scores, lambda i: f"tube {i}")
        checks.check_boxes(self.boxes, self._where)
        checks.check_finite("box_scores", self.box_scores, self._where)
        if count and self.start.min() < 1:
            raise ValueError(f"tube {self.start.argmin()} starts at frame {self.start.min()}")
        if self.actionness is not None:
            checks.check_shape("actionness", self.actionness, (len(self.boxes),))
            checks.check_finite("actionness", self.actionness, self._where)

    def _where(self, i: int) -> str:
        tube = int(np.searchsorted(self.ptr, i, side="right")) - 1
        frame = self.start[tube] + i - self.ptr[tube]
        return f"tube {tube}, video '{self.videos[self.video[tube]]}' frame {frame}"

    @property
    def lengths(self) -> np.ndarray:
        """(T,) number of frames."""
        return np.diff(self.ptr)

    @property
    def last(self) -> np.ndarray:
        """(T,) last frame, 1-based, inclusive."""
        return self.start + self.lengths - 1

    @property
    def box_tubes(self) -> np.ndarray:
        """(M,) tube of every box."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def box_frames(self) -> np.ndarray:
        """(M,) frame of every box, 1-based."""
        return ranges(self.start.astype(np.int64), self.lengths)

    def take(self, index: np.ndarray) -> Tubes:
        """The tubes at some positions (or under a mask), in that order."""
        index = np.arange(len(self))[index]
        lengths = self.lengths[index]
        pick = ranges(self.ptr[index], lengths)
        return Tubes(
            self.videos,
            self.labels,
            self.video[index],
            self.classes[index],
            self.scores[index],
            self.start[index],
            np.concatenate([[0], np.cumsum(lengths)]),
            self.boxes[pick],
            self.box_scores[pick],
            None if self.actionness is None else self.actionness[pick],
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tubes:
        """Read an ``.npz`` file; ValueError names the file and what is wrong with it.

        Tubes that cannot be (NaN, inverted boxes) are left out, and a warning counts them. Unknown
        classes and videos are refused: seldom are they the fault of one row.
        """
        options = {"optional": ("actionness",), "names": _FILE_NAMES, "usable": _usable}
        return load_fields(cls, path, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` file atomically."""
        names = {f.name: _FILE_NAMES.get(f.name, f.name) for f in fields(self)}
        io.save_arrays(path, {name: getattr(self, field) for field, name in names.items()})


def _usable(given: Arrays) -> tuple[Arrays, int]:
    """The fields of the tubes that can be, and the number of the others."""
    ptr = np.asarray(given["ptr"])
    lengths = np.diff(ptr)
    boxes = fine_numbers(given["boxes"], given["box_scores"], given["actionness"])
    fine = np.logical_and.reduceat(boxes, ptr[:-1]) & np.isfinite(given["scores"])
    rows = np.repeat(fine, lengths)
    kept = {name: np.asarray(given[name])[fine] for name in ("video", "classes", "scores", "start")}
    kept |= {
        name: None if given[name] is None else np.asarray(given[name])[rows]
        for name in ("boxes", "box_scores", "actionness")
    }
    kept["ptr"] = np.concatenate([[0], np.cumsum(lengths[fine])])
    return given | kept, int((~fine).sum())
