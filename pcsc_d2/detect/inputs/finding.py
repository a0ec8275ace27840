"""What is named, on the command line or in a list, as videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pcsc_d2.detect.inputs.lists import is_address, is_list, read_list
from pcsc_d2.detect.inputs.naming import name_folders
from pcsc_d2.detect.inputs.tasks import (
    CameraTask,
    FileTask,
    InputTask,
    Task,
    UrlTask,
    exists,
    path_of,
)
from pcsc_d2.detect.results import SUMMARY
from pcsc_d2.utils.text import printable
from pcsc_d2.video.files import walk_videos


class _Found(NamedTuple):
    """A video.

    Attributes:
        source: its path, or its address.
        name: the path that its results are mirrored to.
        line: see ``FileTask``.
    """

    source: Path | str
    name: str
    line: str = ""

    @property
    def key(self) -> str:
        """One file by two paths is one video."""
        return self.source if isinstance(self.source, str) else os.path.realpath(self.source)


def find_tasks(
    arguments: Sequence[str],
    start: float,
    end: float,
    urls: bool = False,
    out: Path | None = None,
) -> list[Task]:
    """The videos that are named, each once.

    A folder stands for all videos in it, at any depth, or for one video if it holds frames; a
    pattern with ``*`` for what it matches; a ``.txt`` file for what its lines name, relative to
    itself; ``-`` for standard input and a number for a camera, unless a file has that name. A file
    that is not there is a task too, and fails when opened.

    Args:
        start, end: seconds, the part to look through; of a camera only the end counts.
        urls: whether addresses may be opened.
        out: the output folder; cameras and standard input get a folder that it does not hold yet,
            since what they gave cannot be had again.

    Raises:
        ValueError: an argument is empty, or an address that is not allowed.
        OSError: a list cannot be read.
    """
    live: dict[str, Task] = {}
    found: dict[str, _Found] = {}
    for argument in arguments:
        task = _live(argument, start, end)
        if task is not None:
            live[task.name] = _in_new_folder(task, out)
            continue
        for video in _expand(argument):
            if isinstance(video.source, str) and not urls:
                where = f" ({video.line})" if video.line else ""
                raise ValueError(
                    f"{printable(video.source)}{where}: an address is opened with --urls only"
                )
            found.setdefault(video.key, video)
    taken = {task.folder for task in live.values()}
    folders = name_folders([video.name for video in found.values()], taken)
    files = [_task(video, f, start, end) for video, f in zip(found.values(), folders)]
    return files + list(live.values())


def _live(argument: str, start: float, end: float) -> Task | None:
    if argument == "-":
        return InputTask(start, end)
    if argument.isdecimal() and not os.path.exists(argument):
        return CameraTask(f"camera{int(argument)}", int(argument), end)
    return None


def _in_new_folder(task: Task, out: Path | None) -> Task:
    folder, again = task.folder, 2
    while out is not None and (out / folder).exists():
        folder = f"{task.folder}-{again}"
        again += 1
    return replace(task, folder=folder)


def _task(video: _Found, folder: str, start: float, end: float) -> Task:
    if isinstance(video.source, str):
        return UrlTask(printable(video.source), folder, video.source, start, end)
    return FileTask(printable(video.source), folder, video.source, start, end, video.line)


def _expand(argument: str) -> Iterator[_Found]:
    if not argument:
        raise ValueError("the name of a video is empty")
    path = Path(argument)
    if is_address(argument):
        yield _Found(argument, path_of(argument))
    elif exists(path) and path.is_file() and is_list(path):
        yield from _listed(path)
    elif exists(path) and path.is_dir():
        yield from _below(path)
    elif not exists(path) and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        for match in matches:
            yield from _expand(match)
        if not matches:
            yield _Found(path, path.name, "no file matches the pattern")
    else:
        yield _Found(path, path.name)


def _below(folder: Path) -> Iterator[_Found]:
    """The videos of a folder; an empty one says itself what is wrong with it."""
    any_there = False
    # What an earlier job wrote is no input.
    for path in walk_videos(folder, SUMMARY):
        any_there = True
        yield _Found(path, str(path.relative_to(folder)) if path != folder else path.name)
    if not any_there:
        yield _Found(folder, folder.name)


def _listed(path: Path) -> Iterator[_Found]:
    """What a list names; results are mirrored by the paths as they are written there."""
    for text, line in read_list(path):
        if is_address(text):
            yield _Found(text, path_of(text), line)
            continue
        file = path.parent / text
        if exists(file) and file.is_dir():
            for video in _below(file):
                below = Path(text, video.name) if video.source != file else Path(text)
                yield _Found(video.source, str(below), line)
        else:
            yield _Found(file, text, line)
