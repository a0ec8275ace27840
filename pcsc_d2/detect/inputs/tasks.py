"""A video to be looked through: a file, an address, a camera or standard input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pcsc_d2.detect.camera import CameraSource
from pcsc_d2.detect.inputs.standard_input import standard_input
from pcsc_d2.detect.sources import FileSource, Source
from pcsc_d2.utils.text import printable
from pcsc_d2.video import VideoError
from pcsc_d2.video.opening import VideoUrl


class Task(Protocol):
    """A video; a value that can be sent to another process.

    Attributes:
        name: for people.
        folder: where its results go, relative to the output folder, with ``/``.
    """

    name: str
    folder: str

    def open(self, kept: Path) -> Source:
        """Open it, with a folder for what has to be kept meanwhile; VideoError if that fails."""
        ...

    def stamp(self) -> dict[str, Any] | None:
        """What tells that the video is still the same; None for a live one."""
        ...


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file or a folder of frames.

    Attributes:
        path: of it; nothing need be there.
        start, end: seconds, the part to look through.
        line: of the list that names it, for people; empty where the command line does.
    """

    name: str
    folder: str
    path: Path
    start: float
    end: float
    line: str = ""

    def open(self, kept: Path) -> Source:
        """See ``Task``."""
        if not exists(self.path):
            named = f"{self.line}; " if self.line else ""
            looked = f"{named}looked for {printable(self.path.absolute())}"
            raise VideoError(self.path, f"no such video: nothing is there ({looked})")
        return FileSource(self.path, self.start, self.end)

    def stamp(self) -> dict[str, Any] | None:
        """See ``Task``."""
        part = {"part": f"{self.start} {self.end}"}
        try:
            status = self.path.stat()
        except (OSError, ValueError):
            return part
        source = printable(self.path.resolve())
        return {"source": source, "bytes": status.st_size, "changed": status.st_mtime, **part}


@dataclass(frozen=True, slots=True)
class UrlTask:
    """A file at an address, which is taken to stay the same.

    Attributes:
        address: that the user allowed to be opened.
        start, end: seconds, the part to look through.
    """

    name: str
    folder: str
    address: str
    start: float
    end: float

    def open(self, kept: Path) -> Source:
        """See ``Task``."""
        return FileSource(VideoUrl(self.address), self.start, self.end)

    def stamp(self) -> dict[str, Any] | None:
        """See ``Task``."""
        return {"source": printable(self.address), "part": f"{self.start} {self.end}"}


@dataclass(frozen=True, slots=True)
class CameraTask:
    """A camera.

    Attributes:
        number: its number.
        end: seconds after which it is left.
    """

    folder: str
    number: int
    end: float

    @property
    def name(self) -> str:
        """For people."""
        return f"camera {self.number}"

    def open(self, kept: Path) -> Source:
        """See ``Task``."""
        return CameraSource(self.number, kept / "camera.mp4", self.end)

    def stamp(self) -> None:
        """See ``Task``."""


@dataclass(frozen=True, slots=True)
class InputTask:
    """Standard input.

    Attributes:
        start, end: seconds, the part to look through.
    """

    start: float
    end: float
    name: str = "standard input"
    folder: str = "stdin"

    def open(self, kept: Path) -> Source:
        """See ``Task``."""
        return standard_input(kept, self.start, self.end)

    def stamp(self) -> None:
        """See ``Task``."""


def exists(path: Path) -> bool:
    """Whether something is there; False for names that cannot be."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def path_of(address: str) -> str:
    """Host and path of an address, which is where the results are mirrored."""
    try:
        parts = urlsplit(address)
    except ValueError:  # no address that can be opened, as its turn will tell
        return address.partition("://")[2]
    return f"{parts.hostname or ''}/{parts.path}"
