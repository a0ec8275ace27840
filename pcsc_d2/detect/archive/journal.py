"""Which videos of an output folder are done: a line for each, appended by the job that did it.

Every job has a file of its own in a hidden folder of the output, which it alone appends to, so that
jobs on any machines never write to one file. A line that a killed job left unfinished is no line;
its video's folder is there all the same, and is found by ``adopt``.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NamedTuple

from pcsc_d2 import __version__
from pcsc_d2.detect.archive.layout import JOURNAL, PAGES
from pcsc_d2.detect.results import SUMMARY, Summary
from pcsc_d2.utils.files import atomic_write

# Of the journals and of what else lies beside the videos' folders.
FORMAT = 1
_FORMAT_FILE = "format"


class Place(NamedTuple):
    """Where a video's line is.

    Attributes:
        file: number of the journal.
        offset, length: bytes.
        written: seconds since the epoch; the latest line counts.
    """

    file: int
    offset: int
    length: int
    written: float


class VersionError(ValueError):
    """An output folder that another version of this program has written."""


class Journal:
    """The journals of all jobs of an output folder, and this job's own.

    What is held in memory of a video is its folder's name and where its line is.

    Args:
        out: the output folder, which must be there.
        began: when the job began that this one is a part of; None makes it a job of its own.

    Attributes:
        done: folder -> where the line of a video that is done is.
        failed: folder -> what is wrong with a video that could not be done.
        tries: folder -> how often a video was begun in this job.
        is_new: whether no job has been here before.

    Raises:
        VersionError: the folder is another version's.
        OSError: it cannot be read or written.
    """

    def __init__(self, out: Path, began: int | None = None) -> None:
        self._out, self._folder = out, out / JOURNAL
        self._files: list[Path] = []
        self._read: dict[str, tuple[int, int]] = {}  # name -> number, and bytes that are read
        self._own: IO[bytes] | None = None
        self._began = began
        self._open_file: tuple[int, IO[bytes]] | None = None
        self.done: dict[str, Place] = {}
        self.failed: dict[str, str] = {}
        self.tries: Counter[str] = Counter()
        self._failed_at: dict[str, float] = {}
        self.is_new = not self._folder.is_dir()
        _claim_format(self._folder)

    @property
    def began(self) -> int:
        """When this job began, in nanoseconds by the clock of the disk that the output is on."""
        if self._began is None:
            self._began = os.stat(self._writer().fileno()).st_mtime_ns
        return self._began

    def begin(self, folder: str) -> None:
        """Note that a video is begun, for jobs that outlive the end of one of their processes."""
        self._append({"folder": folder, "begun": self.began})

    def add(self, folder: str, summary: Summary) -> None:
        """Note that a video is done."""
        self._append({"folder": folder, "summary": asdict(summary)})

    def add_failure(self, folder: str, name: str, reason: str) -> None:
        """Note that a video could not be done."""
        self._append({"folder": folder, "video": name, "failed": reason})

    def summary(self, folder: str) -> Summary | None:
        """What a video's line says; None where there is none."""
        place = self.done.get(folder)
        if place is None:
            return None
        file = self._opened(place.file)
        file.seek(place.offset)
        line = _parsed(file.read(place.length))
        return None if line is None else Summary.from_json(line.get("summary"))

    def problems(self) -> list[str]:
        """A line for each video that could not be done, in the order of their folders."""
        return [self.failed[folder] for folder in sorted(self.failed)]

    def refresh(self) -> None:
        """Take in what this and other jobs have noted since the last time."""
        for path in sorted(self._folder.glob("*.jsonl")):
            number, offset = self._read.get(path.name, (len(self._files), 0))
            if number == len(self._files):
                self._files.append(path)
            with open(path, "rb") as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):  # its writer was killed, or is at it
                        break
                    self._take(line, number, offset)
                    offset += len(line)
            self._read[path.name] = (number, offset)

    def adopt(self) -> Iterator[str]:
        """Note the results that are there without a line, as of killed jobs; gives their folders.

        Looks through the whole output folder.
        """
        for place, below, files in os.walk(self._out):
            inner = Path(place) != self._out
            below[:] = sorted(
                name for name in below if not name.startswith(".") and (inner or name != PAGES)
            )
            if not inner or SUMMARY not in files:
                continue
            folder = Path(place).relative_to(self._out).as_posix()
            summary = None if folder in self.done else Summary.load(Path(place, SUMMARY))
            if summary is not None:
                self.add(folder, summary)
                yield folder

    def close(self) -> None:
        """Close the files."""
        for file in (self._own, self._open_file and self._open_file[1]):
            if file is not None:
                file.close()
        self._own = self._open_file = None

    def _writer(self) -> IO[bytes]:
        if self._own is None:
            name = f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            self._own = open(self._folder / name, "ab", buffering=0)  # noqa: SIM115 (see close)
        return self._own

    def _append(self, line: dict[str, Any]) -> None:
        # One call for a line, so that what is there is lines.
        text = json.dumps(line | {"written": time.time()}) + "\n"
        self._writer().write(text.encode())

    def _opened(self, number: int) -> IO[bytes]:
        if self._open_file is None or self._open_file[0] != number:
            if self._open_file is not None:
                self._open_file[1].close()
            self._open_file = (number, open(self._files[number], "rb"))  # noqa: SIM115
        return self._open_file[1]

    def _take(self, line: bytes, number: int, offset: int) -> None:
        about = _parsed(line)
        if about is None:
            return
        folder, written = about["folder"], about["written"]
        if "begun" in about:
            self.tries[folder] += about["begun"] == self._began
            return
        if "failed" in about:
            name = f"{about.get('video', folder)}"
            if written >= self._written(folder):
                self.failed[folder] = f"{name}: {about['failed']}"
                self._failed_at[folder] = written
            return
        if folder not in self.done or written >= self.done[folder].written:
            self.done[folder] = Place(number, offset, len(line), written)
        if self._failed_at.get(folder, math.inf) <= written:
            del self.failed[folder], self._failed_at[folder]

    def _written(self, folder: str) -> float:
        return max(
            self.done[folder].written if folder in self.done else 0.0,
            self._failed_at.get(folder, 0.0),
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of a journal; None for what this program has not written."""
    try:
        about = json.loads(line)
        folder, written = about["folder"], about["written"]
        os.fsencode(folder)  # a name that a disk can have
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(folder, str) or not isinstance(written, float) or not math.isfinite(written):
        return None
    parts = folder.split("/")
    named = "\0" not in folder and all(part not in ("", ".", "..") for part in parts)
    return about if named else None


def _claim_format(folder: Path) -> None:
    path = folder / _FORMAT_FILE
    try:
        found = path.read_text(encoding="utf-8", errors="replace")[:20].strip()
    except FileNotFoundError:
        with atomic_write(path, "w") as file:
            file.write(f"{FORMAT}\n")
        return
    if found != str(FORMAT):
        raise VersionError(
            f"{folder.parent}: was written by another version of this program (format {found!r}, "
            f"pcsc_d2 {__version__} writes {FORMAT}); give another --out"
        )
