"""Frame detections as arrays with named fields, and their file.

Boxes are x1 y1 x2 y2 in pixels, 0-based, corners inclusive; frames are 1-based.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from pcsc_d2.tubes import checks
from pcsc_d2.tubes.arrays import Arrays, cast_fields, fine_numbers, load_fields, ranges
from pcsc_d2.utils import files as io

FrameBoxes = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of every frame of some videos, in compressed sparse rows.

    Frame k (1-based) of video i is row ``video_ptr[i] + k - 1``; row r's detections are
    ``frame_ptr[r]`` to ``frame_ptr[r + 1]``, class ascending, then score descending.

    Attributes:
        videos: (V,) names.
        labels: (C,) class names.
        nframes: (V,) int32.
        video_ptr: (V+1,) int64 into the F frames.
        frame_ptr: (F+1,) int64 into the N detections.
        boxes: (N, 4) float32.
        scores: (N,) float32.
        classes: (N,) int16, 0-based.
        actionness: (N,) float32 in [0, 1], or None.

    Raises:
        ValueError: wrong shapes, unsorted pointers or rows, NaN, inverted boxes, unknown class.
    """

    videos: np.ndarray
    labels: np.ndarray
    nframes: np.ndarray
    video_ptr: np.ndarray
    frame_ptr: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    actionness: np.ndarray | None = None

    def __post_init__(self) -> None:
        dtypes = {
            "videos": np.str_,
            "labels": np.str_,
            "nframes": np.int32,
            "video_ptr": np.int64,
            "frame_ptr": np.int64,
            "boxes": np.float32,
            "scores": np.float32,
            "classes": np.int16,
            "actionness": np.float32,
        }
        cast_fields(self, dtypes)
        self._check()

    def __len__(self) -> int:
        return len(self.scores)

    def _check(self) -> None:
        count, where = len(self), self._where
        checks.check_unique("videos", self.videos)
        checks.check_unique("labels", self.labels)
        checks.check_shape("nframes", self.nframes, self.videos.shape)
        frames = int(self.nframes.sum())
        checks.check_pointers("video_ptr", self.video_ptr, len(self.videos), frames)
        if (np.diff(self.video_ptr) != self.nframes).any():
            raise ValueError("'video_ptr' and 'nframes' disagree on a video's number of frames")
        checks.check_pointers("frame_ptr", self.frame_ptr, frames, count)
        checks.check_shape("boxes", self.boxes, (count, 4))
        checks.check_shape("classes", self.classes, (count,))
        checks.check_boxes(self.boxes, where)
        checks.check_finite("scores", self.scores, where)
        checks.check_range("classes", self.classes, len(self.labels), "class", where)
        if self.actionness is not None:
            checks.check_shape("actionness", self.actionness, (count,))
            checks.check_finite("actionness", self.actionness, where)
        same_class = self.classes[1:] == self.classes[:-1]
        fine = (self.classes[1:] > self.classes[:-1]) | (
            same_class & (self.scores[1:] <= self.scores[:-1])
        )
        first = self.frame_ptr[1:-1]
        fine[first[(first > 0) & (first < count)] - 1] = True
        if not fine.all():
            i = int(np.flatnonzero(~fine)[0]) + 1
            raise ValueError(
                f"detections are not sorted by class, then score ({where(i)}); "
                "Detections.from_arrays sorts them"
            )

    def _where(self, i: int) -> str:
        row = int(np.searchsorted(self.frame_ptr, i, side="right")) - 1
        video = int(np.searchsorted(self.video_ptr, row, side="right")) - 1
        return f"video '{self.videos[video]}' frame {row - self.video_ptr[video] + 1}"

    @classmethod
    def from_arrays(
        cls,
        videos: Sequence[str] | np.ndarray,
        labels: Sequence[str] | np.ndarray,
        nframes: Sequence[int] | np.ndarray,
        video: np.ndarray,
        frame: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
        classes: np.ndarray,
        actionness: np.ndarray | None = None,
    ) -> Detections:
        """Detections in any order: ``video`` (N,) 0-based into ``videos``, ``frame`` (N,) 1-based.

        Equal scores are ordered by their boxes, so that the order of the input never matters.

        Raises:
            ValueError: as the class, and where a video or a frame is out of range.
        """
        videos, nframes = np.asarray(videos, np.str_), np.asarray(nframes, np.int32)
        columns = [np.asarray(a) for a in (video, frame, boxes, scores, classes)]
        _check_columns(videos, nframes, *columns, actionness)
        video, frame, boxes, scores, classes = columns
        video_ptr = np.concatenate([[0], np.cumsum(nframes, dtype=np.int64)])
        row = (video_ptr[video.astype(np.int64)] + frame - 1).astype(np.int64)
        order = detection_order(boxes, scores, classes, row)
        counts = np.bincount(row, minlength=int(video_ptr[-1]))
        return cls(
            videos,
            np.asarray(labels),
            nframes,
            video_ptr,
            np.concatenate([[0], np.cumsum(counts)]),
            boxes[order],
            scores[order],
            classes[order].astype(np.int64),
            None if actionness is None else np.asarray(actionness)[order],
        )

    @classmethod
    def from_frames(
        cls,
        videos: Sequence[str] | np.ndarray,
        labels: Sequence[str] | np.ndarray,
        nframes: Sequence[int] | np.ndarray,
        frames: Mapping[tuple[str, int], FrameBoxes],
    ) -> Detections:
        """Detections of frames given one by one, in any order.

        Args:
            frames: (video name, 1-based frame) -> (boxes (n, 4), scores (n,), classes (n,)) and,
                for all frames or for none, actionness (n,).

        Raises:
            ValueError: as ``from_arrays``, and where a video is unknown.
        """
        keys = list(frames)
        parts = [[np.asarray(a) for a in frames[key]] for key in keys]
        widths = {len(part) for part in parts} or {3}
        checks.require(
            widths <= {3} or widths == {4}, "actionness is to be given for all frames or for none"
        )
        counts = [len(part[1]) for part in parts]
        names = np.array([name for name, _ in keys], dtype=np.str_)
        video = checks.index_of(np.asarray(videos, np.str_), names, "video")
        for (name, frame), part, n in zip(keys, parts, counts, strict=True):
            lengths = [len(array) for array in part]
            where = f"video '{name}' frame {frame}"
            checks.require(lengths == [n] * len(part), f"{where}: arrays of lengths {lengths}")
        columns = [np.concatenate(c) if keys else np.zeros(0) for c in zip(*parts, strict=True)]
        columns = columns or [np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)]
        return cls.from_arrays(
            videos,
            labels,
            nframes,
            np.repeat(video, counts),
            np.repeat(np.array([frame for _, frame in keys], np.int64), counts),
            *columns,
        )

    @property
    def frame_rows(self) -> np.ndarray:
        """(N,) row (frame of all videos' frames) of every detection."""
        return np.repeat(np.arange(len(self.frame_ptr) - 1), np.diff(self.frame_ptr))

    def select(self, names: Sequence[str] | np.ndarray) -> Detections:
        """The detections of some videos, in the order given; ValueError names an unknown one."""
        names = np.asarray(names, np.str_)
        if np.array_equal(names, self.videos):
            return self
        index = checks.index_of(self.videos, names, "video")
        nframes = self.nframes[index]
        rows = ranges(self.video_ptr[index], nframes)
        counts = np.diff(self.frame_ptr)[rows]
        pick = ranges(self.frame_ptr[rows], counts)
        return Detections(
            names,
            self.labels,
            nframes,
            np.concatenate([[0], np.cumsum(nframes, dtype=np.int64)]),
            np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
            self.boxes[pick],
            self.scores[pick],
            self.classes[pick],
            None if self.actionness is None else self.actionness[pick],
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Detections:
        """Read an ``.npz`` file; ValueError names the file and what is wrong with it.

        Detections that cannot be (NaN, inverted boxes) are left out, and a warning counts them.
        Unknown classes are refused: seldom are they the fault of one row.
        """
        return load_fields(cls, path, optional=("actionness",), usable=_usable)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an ``.npz`` file atomically."""
        io.save_arrays(path, {f.name: getattr(self, f.name) for f in fields(self)})


def _usable(given: Arrays) -> tuple[Arrays, int]:
    """The fields of the detections that can be, and the number of the others."""
    ends = np.asarray(given["frame_ptr"])
    fine = fine_numbers(given["boxes"], given["scores"], given["actionness"])
    kept = {
        name: None if given[name] is None else np.asarray(given[name])[fine]
        for name in ("boxes", "scores", "classes", "actionness")
    }
    kept["frame_ptr"] = np.concatenate([[0], np.cumsum(fine)])[ends]
    return given | kept, int((~fine).sum())


def detection_order(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, row: np.ndarray | None = None
) -> np.ndarray:
    """The order (N,) in which ``Detections`` holds detections of some rows, or of one frame.

    Class ascending, then score descending; equal scores are ordered by their boxes.
    """
    keys = (*boxes.T[::-1], -scores, classes)
    return np.lexsort(keys if row is None else (*keys, row))


def _check_columns(
    videos: np.ndarray,
    nframes: np.ndarray,
    video: np.ndarray,
    frame: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    actionness: np.ndarray | None,
) -> None:
    """Raise ValueError unless detections in any order fit one another and their videos."""
    for name, array in (("video", video), ("frame", frame), ("classes", classes)):
        checks.check_shape(name, array, scores.shape)
    checks.check_shape("boxes", boxes, (len(scores), 4))
    if actionness is not None:
        checks.check_shape("actionness", np.asarray(actionness), scores.shape)
    checks.check_range("video", video, len(videos), "video", "detection {}".format)
    last = nframes[video.astype(np.int64)]
    outside = np.flatnonzero((frame < 1) | (frame > last))
    if outside.size:
        i = outside[0]
        name = videos[int(video[i])]
        raise ValueError(f"video '{name}' has frames 1 to {last[i]}, not {frame[i]}")
