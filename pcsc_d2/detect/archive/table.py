"""One table of all tubes of an output folder, as CSV and as Parquet, and how many there are.

The rows are in the order of the videos' folders, then of the tubes, whoever found them when: any
number of processes make the same files. They are made anew, of what is in the videos' folders, with
the memory of one video.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from pcsc_d2 import __version__
from pcsc_d2.detect.archive.journal import FORMAT
from pcsc_d2.detect.archive.layout import COUNTS, PARQUET, TABLE
from pcsc_d2.detect.results import JSON, partly_done
from pcsc_d2.utils.extras import missing_package
from pcsc_d2.utils.files import atomic_write, write_json
from pcsc_d2.utils.parsing import box_numbers, reading, real_number, whole_number
from pcsc_d2.utils.text import plain_cell

COLUMNS = (
    *("video", "tube", "label", "score", "start", "end", "start_frame", "end_frame"),
    "person",  # empty where they were not asked for
)
_PER_BOX = ("times", "boxes", "scores")
# Rows, or boxes, of what is compressed together in the Parquet file.
_GROUP_ROWS, _GROUP_BOXES = 5_000, 200_000
# Problems that the counts name; all of them are in the journals.
_MOST_PROBLEMS = 1_000


@dataclass
class Totals:
    """How many there are of what.

    Attributes:
        videos, frames, seconds, tubes: in all.
        classes: of each label, its tubes and the videos that have some.
        problems: a line for each video that could not be done, or only in part.
        without_parquet: why there is no Parquet file; empty where there is one.
    """

    videos: int = 0
    frames: int = 0
    seconds: float = 0.0
    tubes: int = 0
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    without_parquet: str = ""

    def add(self, content: dict[str, Any]) -> None:
        """Count a video, by its ``tubes.json``."""
        self.videos += 1
        self.frames += content["frames"]
        self.seconds += content["end"] - content["start"]
        self.tubes += len(content["tubes"])
        for tube in content["tubes"]:
            of_class = self.classes.setdefault(tube["label"], {"tubes": 0, "videos": 0})
            of_class["tubes"] += 1
        for label in {tube["label"] for tube in content["tubes"]}:
            self.classes[label]["videos"] += 1

    def save(self, path: Path) -> None:
        """Write the counts as JSON."""
        named = self.problems[:_MOST_PROBLEMS]
        content = {
            "format": FORMAT,
            "pcsc_d2": __version__,
            "videos": self.videos,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "tubes": self.tubes,
            "classes": dict(sorted(self.classes.items())),
            "videos_with_problems": len(self.problems),
            "problems": named,
        }
        write_json(path, content)


class _Table(Protocol):
    def add(self, folder: str, tubes: list[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...


class _Csv:
    """A row for each tube; the boxes, for which a cell has no room, are in the Parquet file."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, folder: str, tubes: list[dict[str, Any]]) -> None:
        for tube in tubes:
            row = [folder, *(tube[name] for name in COLUMNS[1:])]
            self._writer.writerow(map(plain_cell, row))

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    """A row for each tube, with its times, boxes and scores as lists, one for each frame."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        whole, text, real = pa.int32(), pa.string(), pa.float64()
        kinds = (text, whole, text, real, real, real, whole, whole, whole)
        lists = (real, pa.list_(pa.float32(), 4), pa.float32())
        fields = [*zip(COLUMNS, kinds), *((n, pa.list_(k)) for n, k in zip(_PER_BOX, lists))]
        self._pa, self._schema = pa, pa.schema(fields)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._boxes = 0

    def add(self, folder: str, tubes: list[dict[str, Any]]) -> None:
        for tube in tubes:
            self._rows.append({name: tube.get(name) for name in self._schema.names})
            self._rows[-1]["video"] = folder
            self._boxes += len(tube["boxes"])
            if len(self._rows) >= _GROUP_ROWS or self._boxes >= _GROUP_BOXES:
                self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._boxes = [], 0


def write_tables(
    out: Path, folders: Iterable[str], problems: list[str], told: Callable[[int], Any]
) -> Totals:
    """Write the tables and the counts, each atomically.

    Args:
        out: the output folder.
        folders: of the videos, in order.
        problems: a line for each video that could not be done.
        told: is told of each video.

    Raises:
        OSError: they cannot be written.
    """
    totals = Totals(problems=list(problems))
    with ExitStack() as stack:
        tables: list[_Table] = [_Csv(stack.enter_context(atomic_write(out / TABLE, "w")))]
        try:
            import pyarrow.parquet  # noqa: F401

            tables.append(_Parquet(stack.enter_context(atomic_write(out / PARQUET))))
        except ModuleNotFoundError as error:
            totals.without_parquet = missing_package(error, PARQUET, "parquet") or str(error)
        for folder, content in _contents(out, folders, totals.problems, told):
            for table in tables:
                table.add(folder, content["tubes"])
            totals.add(content)
        for table in tables:
            table.close()
    if totals.without_parquet:  # one of an earlier job would not fit what is beside it
        (out / PARQUET).unlink(missing_ok=True)
    totals.save(out / COUNTS)
    return totals


def _contents(
    out: Path, folders: Iterable[str], problems: list[str], told: Callable[[int], Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is in each video's folder; one that cannot be read, or is gone, is a problem."""
    for folder in folders:
        path, content = out / folder / JSON, None
        try:
            with reading(path, "tubes"):
                content = _checked(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            problems.append(f"{folder}: its results are gone; --resume makes them again")
        except (OSError, ValueError) as error:
            problems.append(str(error))
        if content is not None:
            if content["problem"]:
                problems.append(partly_done(content["video"], content["problem"]))
            yield folder, content
        told(1)


_NUMBERS = {
    **dict.fromkeys(("tube", "start_frame", "end_frame"), whole_number),
    **dict.fromkeys(("score", "start", "end"), real_number),
}


def _checked(content: Any) -> dict[str, Any]:
    """The content of a ``tubes.json``; any error says that it is none."""
    tubes = [
        {
            "label": str(tube["label"]),
            **{name: kind(tube[name]) for name, kind in _NUMBERS.items()},
            "person": whole_number(tube["person"]) if "person" in tube else None,
            "times": [real_number(time) for time in tube["times"]],
            "boxes": [box_numbers(box) for box in tube["boxes"]],
            "scores": [real_number(score) for score in tube["scores"]],
        }
        for tube in content["tubes"]
    ]
    return {
        "video": str(content["video"]),
        "problem": str(content["problem"]),
        "frames": whole_number(content["frames"]),
        "start": real_number(content["start"]),
        "end": real_number(content["end"]),
        "tubes": tubes,
    }
