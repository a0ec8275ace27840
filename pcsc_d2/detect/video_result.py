"""What was found in one video: gathered on disk while it runs, memory-mapped when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from pcsc_d2.detect.kinetics import Guess
from pcsc_d2.detect.sources import Frame, Source
from pcsc_d2.tubes import PersonOptions, Tubes, find_persons

_COLUMNS = ("boxes", "box_scores", "actionness")


@dataclass(frozen=True)
class VideoResult:
    """The tubes of one video and the times of its frames.

    Attributes:
        tubes: in the order in which they ended, over one video; boxes are memory-mapped.
        number: (T,) 1-based number of each tube, by its start: its name and its colour.
        times: (F,) seconds at which each frame is shown; the first is frame ``first``.
        first: 1-based number of the first frame.
        size: height and width.
        rate: frames per second, nominal.
        problem: what ended the video early, or empty.
        kinetics: of each tube the best of Kinetics' names; None where they were not asked for.
        persons: (T,) 1-based number of the person of each tube, by the first one's start; None
            where they were not asked for.
    """

    tubes: Tubes
    number: np.ndarray
    times: np.ndarray
    first: int
    size: tuple[int, int]
    rate: float
    problem: str = ""
    kinetics: list[list[Guess]] | None = None
    persons: np.ndarray | None = None

    def with_persons(self) -> VideoResult:
        """The same with the persons of the tubes; a gap of at most a second parts no person."""
        gap = max(round(self.rate), 1)
        return replace(self, persons=find_persons(self.tubes, PersonOptions(gap=gap)))

    @cached_property
    def spans(self) -> np.ndarray:
        """(T, 2) seconds at which a tube's first frame appears and its last one is gone."""
        return np.stack([self.shown(self.tubes.start), self.gone(self.tubes.last)], axis=1)

    @property
    def extent(self) -> tuple[float, float]:
        """Seconds at which the first frame appears and the last one is gone."""
        return float(self.times[0]), float(self.gone(np.array(self.first + len(self.times) - 1)))

    def shown(self, frames: np.ndarray) -> np.ndarray:
        """Seconds at which frames (1-based) appear."""
        return self.times[frames - self.first]

    def gone(self, frames: np.ndarray) -> np.ndarray:
        """Seconds at which frames are replaced by the next, the last one after a usual while."""
        after = np.minimum(frames - self.first + 1, len(self.times) - 1)
        is_last = frames - self.first + 1 >= len(self.times)
        return self.times[after] + np.where(is_last, 1 / self.rate, 0)

    def in_order(self) -> Iterator[tuple[int, int]]:
        """Number and position of each tube, by number."""
        for position in np.argsort(self.number).tolist():
            yield int(self.number[position]), position


class Recorder:
    """A source that writes down its frames' times as they pass, and the tubes that are found.

    Args:
        source: to go through, once.
        folder: is made; its files must stay as long as the result are used.
        labels: class names.
    """

    def __init__(self, source: Source, folder: Path, labels: Sequence[str]) -> None:
        folder.mkdir(parents=True)
        self._source, self.name = source, source.name
        self.rate, self.expected = source.rate, source.expected
        self._folder, self._labels = folder, np.array(labels, np.str_)
        self._files: dict[str, IO[bytes]] = {
            name: open(folder / name, "wb")  # noqa: SIM115 (closed in `close`)
            for name in (*_COLUMNS, "times")
        }
        self._tubes: list[tuple[np.ndarray, ...]] = []
        self._has_actionness = False
        self._kinetics: list[list[Guess]] | None = None
        self.frames, self.first, self.size = 0, 1, (0, 0)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()

    def __iter__(self) -> Iterator[Frame]:
        with closing(iter(self._source)) as frames:
            for frame in frames:
                self.see(frame.number, frame.time, frame.pixels.shape[:2])
                yield frame

    @property
    def problem(self) -> str:
        """See ``Source``."""
        return self._source.problem

    def again(self) -> Source:
        """See ``Source``."""
        return self._source.again()

    def see(self, number: int, time: float, size: tuple[int, int]) -> None:
        """Take note of a frame: they come one after the other."""
        if not self.frames:
            self.first, self.size = number, size
        self._files["times"].write(np.float64(time).tobytes())
        self.frames += 1

    def add(self, tubes: Tubes, kinetics: list[list[Guess]] | None = None) -> None:
        """Take tubes that have ended, with Kinetics' names for them where they are asked for."""
        if kinetics is not None:
            self._kinetics = [*(self._kinetics or []), *kinetics]
        if not len(tubes):
            return
        self._tubes.append((tubes.classes, tubes.scores, tubes.start, tubes.lengths))
        self._has_actionness = tubes.actionness is not None
        for name in _COLUMNS:
            column = getattr(tubes, name)
            if column is not None:
                self._files[name].write(np.ascontiguousarray(column, np.float32).tobytes())

    def result(self) -> VideoResult:
        """What was found, once nothing more will come."""
        for file in self._files.values():
            file.flush()
        columns = [np.concatenate(c) for c in zip(*self._tubes)] or [np.zeros(0, np.int64)] * 4
        cls, score, start, lengths = columns
        tubes = Tubes(
            ["video"],
            self._labels,
            np.zeros(len(cls), np.int32),
            cls,
            score,
            start,
            np.concatenate([[0], np.cumsum(lengths)]),
            self._mapped("boxes", np.float32).reshape(-1, 4),
            self._mapped("box_scores", np.float32),
            self._mapped("actionness", np.float32) if self._has_actionness else None,
        )
        number = np.empty(len(cls), np.int64)
        number[np.lexsort((-score, start))] = np.arange(1, len(cls) + 1)
        times = self._mapped("times", np.float64)
        about = (self.first, self.size, self.rate, self.problem, self._kinetics)
        return VideoResult(tubes, number, times, *about)

    def _mapped(self, name: str, dtype: type) -> np.ndarray:
        path = self._folder / name
        empty = path.stat().st_size == 0
        return np.zeros(0, dtype) if empty else np.memmap(path, dtype, mode="r")
