"""Tubes of a stream, each as soon as it ends, in memory that does not grow with the stream."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import IO, NamedTuple

import numpy as np

from pcsc_d2.tubes.assembly import assemble
from pcsc_d2.tubes.checks import require
from pcsc_d2.tubes.linking.online import LinkedFrame, OnlineLinker
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.refinement import Refinement, RefineOptions
from pcsc_d2.tubes.structures import Tubes

# Boxes of a path that stay in memory; more go to a temporary file until the path ends.
_ROWS_IN_MEMORY = 512
_ROW = [("frame", "<i8"), ("box", "<f4", 4), ("score", "<f4"), ("actionness", "<f4")]

# What says of whole tubes, by the features (M, D) of their boxes, the actionness (M,) of each box.
Judge = Callable[[Tubes, np.ndarray], np.ndarray]


class StreamStep(NamedTuple):
    """What one frame brought.

    Attributes:
        linked: which detections were linked, and to which path.
        ended: the tubes that this frame ended; they will not change any more.
    """

    linked: LinkedFrame
    ended: Tubes


@dataclass
class _Path:
    cls: int
    rows: list[np.ndarray] = field(default_factory=list)
    spilled: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.rows) + _ROWS_IN_MEMORY * len(self.spilled)


class TubeStream:
    """Linker of a stream that gives the tubes that ``link`` and ``refine`` would give.

    What is held is the boxes of the paths that are still going, and of long ones only the latest:
    the others wait in a temporary file.

    Args:
        labels: class names.
        options: how detections become tubes; temporal labelling needs the whole video and is
            refused.
        refine_options: refines tubes whose detections carry actionness; None leaves them.
        video: the name that the tubes carry.
        judge: gives tubes that have ended their actionness, from features that the detections
            carry; None leaves them that of the detections.

    Raises:
        ValueError: temporal labelling is asked for.
    """

    def __init__(
        self,
        labels: Sequence[str],
        options: LinkOptions | None = None,
        refine_options: RefineOptions | None = None,
        video: str = "video",
        judge: Judge | None = None,
    ) -> None:
        self.options = options or LinkOptions()
        require(self.options.temporal_alpha is None, "a stream's tubes cannot be labelled in time")
        self.refine_options, self._judge = refine_options, judge
        self._row = np.dtype(_ROW)
        self._labels, self._videos = np.array(labels, np.str_), np.array([video], np.str_)
        self._linker = OnlineLinker(len(labels), self.options)
        self._paths: dict[int, _Path] = {}
        self._has_actionness: bool | None = None
        self._spill: IO[bytes] | None = None
        self._nothing: Tubes | None = None
        self.ended_paths = np.zeros(0, np.int64)
        """(T,) the path that each of the tubes that ended last is, or is a piece of."""

    def update(
        self,
        frame: int,
        boxes: np.ndarray,
        scores: np.ndarray,
        classes: np.ndarray,
        actionness: np.ndarray | None = None,
        features: np.ndarray | None = None,
    ) -> StreamStep:
        """Take the next frame that was looked at; those in between are filled as gaps are.

        Args:
            frame: 1-based, higher than the one before.
            boxes, scores, classes: (N, 4), (N,) and (N,), as ``OnlineLinker.update`` takes them.
            actionness: (N,) in [0, 1], for every frame or for none.
            features: (N, D) float16 for the judge; nothing else looks at them.

        Raises:
            ValueError: as ``OnlineLinker.update``, or actionness for some frames only.
        """
        given = actionness is not None
        known = self._has_actionness in (None, given) or not len(scores)
        require(known, "actionness is to be given for all frames or for none")
        if len(scores):
            self._has_actionness = given
        linked = self._linker.update(boxes, scores, classes)
        if self._judge is not None:
            require(features is not None, "tubes are to be judged by features: give those of boxes")
            self._row = np.dtype([*_ROW, ("features", "<f2", features.shape[1])])
        rows = np.zeros(len(linked.index), self._row)
        rows["frame"], rows["box"] = frame, np.asarray(boxes)[linked.index]
        rows["score"] = np.asarray(scores)[linked.index]
        if given:
            rows["actionness"] = np.asarray(actionness)[linked.index]
        if self._judge is not None:
            rows["features"] = np.asarray(features)[linked.index]
        cls = np.asarray(classes)[linked.index].tolist()
        for i, number in enumerate(linked.path.tolist()):
            self._append(self._paths.setdefault(number, _Path(cls[i])), rows[i : i + 1])
        return StreamStep(linked, self._end(linked.ended.tolist()))

    def finish(self) -> Tubes:
        """The tubes that were still going when the stream ended."""
        return self._end(list(self._paths))

    def _append(self, path: _Path, row: np.ndarray) -> None:
        path.rows.append(row)
        if len(path.rows) >= _ROWS_IN_MEMORY:
            if self._spill is None:
                self._spill = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the stream)
            path.spilled.append(self._spill.seek(0, 2))
            self._spill.write(np.concatenate(path.rows).tobytes())
            path.rows.clear()

    def _rows(self, path: _Path) -> np.ndarray:
        parts = []
        for place in path.spilled:
            self._spill.seek(place)
            size = _ROWS_IN_MEMORY * self._row.itemsize
            parts.append(np.frombuffer(self._spill.read(size), self._row))
        return np.concatenate([*parts, *path.rows])

    def _end(self, numbers: list[int]) -> Tubes:
        ended = {number: self._paths.pop(number) for number in sorted(numbers)}
        # Most paths that end were never tubes; what is left out here, assembling would drop.
        ended = {n: path for n, path in ended.items() if path.count > self.options.gap}
        if not ended and self._nothing is not None:
            self.ended_paths = self.ended_paths[:0]
            return self._nothing
        rows = {number: self._rows(path) for number, path in ended.items()}
        counts = [len(r) for r in rows.values()]
        table = np.concatenate([np.zeros(0, self._row), *rows.values()])
        columns = SimpleNamespace(
            videos=self._videos,
            labels=self._labels,
            boxes=table["box"],
            scores=table["score"],
            classes=np.repeat([path.cls for path in ended.values()], counts).astype(np.int64),
            actionness=table["actionness"] if self._has_actionness else None,
        )
        path = np.repeat(np.array(list(ended), np.int64), counts)
        video, index = np.zeros(len(table), np.int64), np.arange(len(table))
        tubes, source = assemble(columns, video, path, table["frame"], index, self.options)
        self.ended_paths = path[source[tubes.ptr[:-1]]]
        if self._judge is not None:
            # Before the first frame nothing is known of features.
            said = self._judge(tubes, table["features"][source]) if len(tubes) else np.zeros(0)
            tubes = replace(tubes, actionness=said)
        if self.refine_options is not None and tubes.actionness is not None:
            refinement = Refinement.of(tubes, self.refine_options)
            tubes, self.ended_paths = refinement.tubes, self.ended_paths[refinement.parent]
        if not len(tubes):
            self._nothing = tubes
        return tubes
