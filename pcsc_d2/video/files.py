"""What a video is on disk: a file by its suffix, or a folder of frames.

Every part that looks for videos, frames or flow images asks here, so that all take the same files
for videos and pass over the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

# In any case (cameras write .MOV). Of files of one name, the earlier suffix is taken.
VIDEO_SUFFIXES = (
    ".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp",
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
# What macOS and Windows leave beside one's files, in lower case.
_LEFTOVERS = {"__macosx", "thumbs.db", "desktop.ini"}


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over: ``.x``, ``._x``, ``__MACOSX`` ..."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def is_video_file(name: str) -> bool:
    """Whether a file of this name is taken for a video."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_image_file(name: str) -> bool:
    """Whether a file of this name is taken for an image: a frame, or a field of flow."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def without_suffix(name: str) -> str:
    """A name or path without the suffix of a video; any other dot in it stays."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in VIDEO_SUFFIXES else name


def walk_videos(folder: Path, result_file: str = "") -> Iterator[Path]:
    """The videos in a folder at any depth, by name: files, and folders that hold frames.

    Images beside a video are not frames. Below a folder of frames nothing is looked for, except
    below ``folder`` itself, which may hold frames, too. Links are followed, each folder once.

    Args:
        folder: to look through.
        result_file: folders that hold a file of this name are passed over.
    """
    seen: set[str] = set()
    for place, below, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or (result_file and result_file in files):
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not is_hidden(name))
        videos = [Path(place, name) for name in sorted(files) if is_video_file(name)]
        if not videos and any(map(is_image_file, files)):
            videos = [Path(place)]
            if Path(place) != folder:
                below.clear()
        yield from videos


def find_videos(folder: Path) -> dict[str, Path]:
    """Name -> path of the video files and folders of frames below a folder.

    A name is the path below the folder, with ``/`` and without suffix.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: two videos differ in their suffix alone.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of videos")
    found: dict[str, Path] = {}
    for path in walk_videos(folder):
        if path == folder:
            continue
        relative = path.relative_to(folder)
        name = (relative.with_suffix("") if path.is_file() else relative).as_posix()
        if name in found:
            raise ValueError(f"{path}: {found[name].name} is there too, by the same name")
        found[name] = path
    return found


def locate_videos(folder: Path, names: Iterable[str]) -> dict[str, Path | None]:
    """The file or folder of frames of each of some videos, None where there is none.

    Args:
        folder: of all of them.
        names: paths below the folder, without suffix.

    Raises:
        ValueError: a name that leaves the folder, as a hostile annotation file could hold.
    """
    listed: dict[Path, dict[str, str]] = {}
    found: dict[str, Path | None] = {}
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"the annotated video '{name}' leaves {folder}; fetch the file again")
        place = (folder / name).parent
        if place not in listed:
            listed[place] = _list_videos(place)
        entry = listed[place].get(PurePosixPath(name).name)
        found[name] = None if entry is None else place / entry
    return found


def find_video(folder: Path, name: str) -> Path | None:
    """The file or folder of frames of one video; see ``locate_videos``."""
    return locate_videos(folder, [name])[name]


def _list_videos(folder: Path) -> dict[str, str]:
    """Name of a video -> name of its entry in a folder; that with a suffix before that without."""
    try:
        entries = [name for name in os.listdir(folder) if not is_hidden(name)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    with_suffix = [name for name in entries if without_suffix(name) != name]
    with_suffix.sort(key=lambda n: (VIDEO_SUFFIXES.index(os.path.splitext(n)[1].lower()), n))
    best = {without_suffix(name): name for name in reversed(with_suffix)}
    return {name: name for name in entries} | best


def video_name(path: Path) -> str:
    """``<class>/<name>`` of a video file or folder of frames."""
    return f"{path.parent.name}/{without_suffix(path.name)}"
