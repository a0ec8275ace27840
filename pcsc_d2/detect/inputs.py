"""What the command line names -> videos, each with the folder that its results go to."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcsc_d2.detect.camera import CameraSource
from pcsc_d2.detect.results import SUMMARY
from pcsc_d2.detect.sources import FileSource, Source
from pcsc_d2.detect.standard_input import standard_input
from pcsc_d2.utils.text import printable
from pcsc_d2.video import VideoError
from pcsc_d2.video.files import walk_videos

# The page of all videos, which is beside their folders.
PAGE = "index.html"
# Bytes of a folder's name; file systems take 255.
_LONGEST = 200


@dataclass(frozen=True)
class Task:
    """A video to be looked through.

    Attributes:
        name: for people.
        folder: where its results go, relative to the output folder.
        open: opens it, with a folder for what has to be kept meanwhile; raises VideoError.
        stamp: what tells that the video is still the same; None for a live one.
    """

    name: str
    folder: str
    open: Callable[[Path], Source]
    stamp: dict[str, Any] | None = None


def find_tasks(arguments: Sequence[str], start: float, end: float) -> list[Task]:
    """The videos that are named, each once.

    A folder stands for all videos in it, at any depth, or for one video if it holds frames; a
    pattern with ``*`` for what it matches; ``-`` for standard input and a number for a camera,
    unless a file has that name. A file that is not there is a task too, and fails when opened.

    Args:
        start, end: seconds, the part to look through; of a camera only the end counts.

    Raises:
        ValueError: an argument is empty.
    """
    live: list[Task] = []
    paths: dict[Path, str] = {}
    seen: set[str] = set()
    for argument in arguments:
        if argument == "-":
            live.append(Task("standard input", "stdin", _standard_input(start, end)))
        elif argument.isdecimal() and not os.path.exists(argument):
            number = int(argument)
            name = f"camera {number}"
            live.append(Task(name, f"camera{number}", _camera(number, end)))
        else:
            for path, name in _expand(argument):
                # One file by two paths is one video.
                if (real := os.path.realpath(path)) not in seen:
                    seen.add(real)
                    paths[path] = name
    live = list({task.folder: task for task in live}.values())
    return _folders(paths, start, end, {task.folder for task in live}) + live


def _standard_input(start: float, end: float) -> Callable[[Path], Source]:
    return lambda folder: standard_input(folder, start, end)


def _camera(number: int, end: float) -> Callable[[Path], Source]:
    return lambda folder: CameraSource(number, folder / "camera.mp4", end)


def _expand(argument: str) -> list[tuple[Path, str]]:
    """Paths of videos, each with a name."""
    if not argument:
        raise ValueError("the name of a video is empty")
    path = Path(argument)
    if _exists(path) and path.is_dir():
        # What an earlier job wrote is no input. An empty folder says itself what is wrong with it.
        videos = list(walk_videos(path, SUMMARY)) or [path]
        return [(p, str(p.relative_to(path)) if p != path else p.name) for p in videos]
    if not _exists(path) and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if matches:
            return [pair for match in matches for pair in _expand(match)]
    return [(path, path.name)]


def _folders(paths: dict[Path, str], start: float, end: float, names: set[str]) -> list[Task]:
    """Give each video a folder of its own: its name without the suffix where that is unique.

    Args:
        names: that are taken.
    """
    plain = {path: _safe(os.path.splitext(name)[0]) for path, name in paths.items()}
    counts = Counter(plain.values())
    taken = {*names, PAGE}
    tasks = []
    for path, name in paths.items():
        wanted = plain[path] if counts[plain[path]] == 1 else _safe(name)
        folder, again = wanted, 2
        # Some disks hold names that differ in case for the same.
        while folder.casefold() in taken:
            folder, again = f"{wanted}-{again}", again + 1
        taken.add(folder.casefold())
        opener = _file(path, start, end)
        stamp = _stamp(path) | {"part": f"{start} {end}"}
        tasks.append(Task(printable(path), folder, opener, stamp))
    return tasks


def _safe(name: str) -> str:
    """A relative path as one folder name that any disk takes."""
    parts = [part for part in Path(name).parts if part not in ("/", "..", ".")]
    text = unicodedata.normalize("NFC", printable("__".join(parts)))
    # Backslashes and colons are no part of a name elsewhere; "-2" and more has to fit behind it.
    text = text.replace("\\", "_").replace(":", "_").encode()[:_LONGEST].decode("utf-8", "ignore")
    return text.lstrip(".").rstrip(". ") or "video"


def _file(path: Path, start: float, end: float) -> Callable[[Path], Source]:
    def open_file(_: Path) -> Source:
        if not _exists(path):
            what = "matches the pattern" if glob.has_magic(str(path)) else "is there"
            looked = printable(path.absolute())
            raise VideoError(path, f"no such video: nothing {what} (looked for {looked})")
        return FileSource(path, start, end)

    return open_file


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _stamp(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return {}
    return {
        "source": printable(path.resolve()),
        "bytes": status.st_size,
        "changed": status.st_mtime,
    }
