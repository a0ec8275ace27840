"""What the command line names -> videos, each with the folder that its results go to."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcsc_d2.detect.camera import CameraSource
from pcsc_d2.detect.results import SUMMARY
from pcsc_d2.detect.sources import FileSource, Source
from pcsc_d2.detect.standard_input import standard_input
from pcsc_d2.video import VideoError
from pcsc_d2.video.files import walk_videos


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
    tasks: list[Task] = []
    paths: dict[Path, str] = {}
    for argument in arguments:
        if argument == "-":
            tasks.append(Task("standard input", "stdin", _standard_input(start, end)))
        elif argument.isdecimal() and not os.path.exists(argument):
            number = int(argument)
            name = f"camera {number}"
            tasks.append(Task(name, f"camera{number}", _camera(number, end)))
        else:
            for path, name in _expand(argument):
                paths.setdefault(path, name)
    return _folders(paths, start, end) + tasks


def _standard_input(start: float, end: float) -> Callable[[Path], Source]:
    return lambda folder: standard_input(folder, start, end)


def _camera(number: int, end: float) -> Callable[[Path], Source]:
    return lambda folder: CameraSource(number, folder / "camera.mp4", end)


def _expand(argument: str) -> list[tuple[Path, str]]:
    """Paths of videos, each with a name."""
    if not argument:
        raise ValueError("the name of a video is empty")
    path = Path(argument)
    if path.is_dir():
        # What an earlier job wrote is no input. An empty folder says itself what is wrong with it.
        videos = list(walk_videos(path, SUMMARY)) or [path]
        return [(p, str(p.relative_to(path)) if p != path else p.name) for p in videos]
    if not path.exists() and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if matches:
            return [pair for match in matches for pair in _expand(match)]
    return [(path, path.name)]


def _folders(paths: dict[Path, str], start: float, end: float) -> list[Task]:
    """Give each video a folder of its own: its name without the suffix where that is unique."""
    plain = {path: _safe(os.path.splitext(name)[0]) for path, name in paths.items()}
    counts = Counter(plain.values())
    taken: set[str] = set()
    tasks = []
    for path, name in paths.items():
        wanted = plain[path] if counts[plain[path]] == 1 else _safe(name)
        folder, again = wanted, 2
        while folder in taken:
            folder, again = f"{wanted}-{again}", again + 1
        taken.add(folder)
        opener = _file(path, start, end)
        tasks.append(Task(str(path), folder, opener, _stamp(path) | {"part": f"{start} {end}"}))
    return tasks


def _safe(name: str) -> str:
    """A relative path as one folder name."""
    parts = [part for part in Path(name).parts if part not in ("/", "..", ".")]
    return "__".join(parts).lstrip(".") or "video"


def _file(path: Path, start: float, end: float) -> Callable[[Path], Source]:
    def open_file(_: Path) -> Source:
        if not path.exists():
            what = "matches the pattern" if glob.has_magic(str(path)) else "is there"
            raise VideoError(path, f"no such video: nothing {what} (looked for {path.absolute()})")
        return FileSource(path, start, end)

    return open_file


def _stamp(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
    except OSError:
        return {}
    return {"source": str(path.resolve()), "bytes": status.st_size, "changed": status.st_mtime}
