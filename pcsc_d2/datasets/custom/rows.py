"""Rows of boxes as one's own annotation files hold them."""

from __future__ import annotations

import logging
import math
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pcsc_d2.utils.text import one_line
from pcsc_d2.video.files import without_suffix

logger = logging.getLogger(__name__)

# Of a frame's number and of a corner; videos have fewer frames, and frames fewer pixels.
_LARGEST = 1 << 30


@dataclass
class Annotations:
    """What an annotation file says, a box a row.

    Attributes:
        source: the file, for messages.
        where: what a place in it is called, such as "line".
        videos, tracks, labels, frames, boxes, places: of each row; frames count from
            ``first_frame``, boxes are edges x1 y1 x2 y2.
        first_frame: the number of a video's first frame in this file; None: 1, unless told.
        names: classes in their order, where the file tells them.
        sizes: video -> number of frames, height and width, each None where it is not told.
        interpolated: boxes between two of a track are meant to be interpolated, however far apart.
        crowds: of regions in which nobody is annotated one by one, apart from the rows.
        unusable: what is wrong with the rows, tracks or annotations that are left out.
    """

    source: Path
    where: str
    videos: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    places: list[object] = field(default_factory=list)
    first_frame: int | None = None
    names: tuple[str, ...] | None = None
    sizes: dict[str, tuple[int | None, int | None, int | None]] = field(default_factory=dict)
    interpolated: bool = False
    crowds: Annotations | None = None
    unusable: list[str] = field(default_factory=list)

    def add(
        self, place: object, video: str, track: str, label: str, frame: int, box: tuple[float, ...]
    ) -> None:
        """Add a row; ValueError for a box that is no four finite numbers."""
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise self.wrong(place, f"{list(box)} is no box of four finite numbers")
        if abs(frame) > _LARGEST or max(map(abs, box)) > _LARGEST:
            raise self.wrong(place, f"frame {frame} or box {list(box)} is larger than can be")
        self.videos.append(video)
        self.tracks.append(track)
        self.labels.append(plain_text(label))
        self.frames.append(frame)
        self.boxes.append(box)
        self.places.append(place)

    def add_crowd(
        self, place: object, video: str, track: str, label: str, frame: int, box: tuple[float, ...]
    ) -> None:
        """Add a region to ``crowds``; as ``add``."""
        if self.crowds is None:
            options = {"first_frame": self.first_frame, "interpolated": self.interpolated}
            self.crowds = Annotations(self.source, self.where, **options)
        self.crowds.add(place, video, track, label, frame, box)

    @contextmanager
    def leaving_out(self, place: object) -> Iterator[None]:
        """Leave out what the block adds where it raises: one bad row does not spoil the others."""
        before = len(self.boxes)
        try:
            yield
        except Exception as error:
            for column in (self.videos, self.tracks, self.labels, self.frames, self.boxes):
                del column[before:]
            del self.places[before:]
            self.unusable.append(str(self._placed(place, error)))

    def _placed(self, place: object, error: Exception) -> Exception:
        if isinstance(error, ValueError) and str(error).startswith(str(self.source)):
            return error
        if isinstance(error, KeyError):
            return self.wrong(place, f"{error} is missing, or is an id that nothing has")
        return self.wrong(place, f"not as expected ({one_line(error)})")

    def require_some(self) -> None:
        """Raise ValueError where nothing is left; otherwise warn of what is left out."""
        if self.unusable and not self.boxes and self.crowds is None:
            raise ValueError(self.unusable[0])
        if self.unusable:
            more = len(self.unusable) - 1
            more = f", and {more:,} more that cannot be understood" if more else ""
            logger.warning("%s; left out%s", self.unusable[0], more)

    def wrong(self, place: object, what: str) -> ValueError:
        """An error that names the file and the place in it."""
        return ValueError(f"{self.source}, {self.where} {place}: {what}")


def plain_text(text: object) -> str:
    """A label in the one Unicode form of its letters; ValueError where it is no text."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{text!r} is no label")
    text.encode()  # half of a letter, which JSON can hold, can be written nowhere
    if any(unicodedata.category(letter) == "Cc" for letter in text.strip()):  # nor in XML
        raise ValueError(f"{text!r} holds control characters, as no label does")
    return unicodedata.normalize("NFC", text.strip())


def plain_name(name: str) -> str:
    """A video's name: its path without suffix, with ``/``; ValueError if it leaves its folder."""
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"'{name}' is no name of a video below the folder of videos")
    return without_suffix(str(path))
