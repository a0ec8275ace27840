"""What is in the folders and archives in which a dataset is distributed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from pcsc_d2.datasets.archives import is_archive, unpack
from pcsc_d2.video.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_hidden, is_video_file

_FIELDS = {".flo"}
_PICTURES = {*IMAGE_SUFFIXES, *_FIELDS}
_FLOW = re.compile("flow|brox|tv_?l1", re.IGNORECASE)
_SPLIT = re.compile(r".+_test_split\d+\.txt")
_ANNOTATIONS = {
    "pyannot.pkl", "finalAnnots.mat", "UCF101v2-GT.pkl", "JHMDB-GT.pkl", "testlist01.txt",
}  # fmt: skip


@dataclass
class Sources:
    """What was found; of files of one name, the one found first.

    Attributes:
        clips: ``<class>/<video>`` -> a video file or a folder of frames.
        flow: folder with ``<class>/<video>/`` of flow images.
        masks: folder with ``<class>/<video>/puppet_mask.mat``.
        files: name -> annotation file or test list.
        splits: name -> split list of J-HMDB.
    """

    clips: dict[str, Path] = field(default_factory=dict)
    flow: Path | None = None
    masks: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    splits: dict[str, Path] = field(default_factory=dict)


class _Folder(NamedTuple):
    path: Path
    files: list[Path]
    is_leaf: bool
    is_flow: bool  # by its name or that of a folder above


def find_sources(paths: Sequence[Path], unpacked: Path, threads: int = 1) -> Sources:
    """Look through folders, archives and single files for what makes a dataset.

    Args:
        paths: in the order in which they are preferred.
        unpacked: the folder that archives are unpacked into, each to a folder of its name.
        threads: that unpack.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: an archive that is refused, see ``archives.unpack``.
    """
    absent = [path for path in paths if not path.exists()]
    if absent:
        raise FileNotFoundError(f"{absent[0]}: no such file or folder")
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        folders = list(pool.map(lambda path: _opened(path, unpacked), paths))
    found, seen = Sources(), set()
    for path in folders:
        if path.is_file():
            _add_file(path, found)
            continue
        walk = _walk(path, bool(_FLOW.search(path.name)), seen)
        for folder in tqdm(walk, f"looking through {path.name}", unit="folder", delay=1):
            _add_folder(folder, found)
    return found


def _opened(path: Path, unpacked: Path) -> Path:
    return unpack(path, unpacked / path.name) if is_archive(path) else path


def _walk(path: Path, is_flow: bool, seen: set[str]) -> Iterator[_Folder]:
    """A folder and those below it, in order; links are followed, each folder once."""
    real = os.path.realpath(path)
    if real in seen:
        return
    seen.add(real)
    below, files = [], []
    # A folder of frames holds thousands of files: not one more system call for each.
    with os.scandir(path) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                (below if entry.is_dir() else files).append(Path(entry.path))
    yield _Folder(path, sorted(files), not below, is_flow)
    for folder in sorted(below):
        yield from _walk(folder, is_flow or bool(_FLOW.search(folder.name)), seen)


def _add_folder(folder: _Folder, found: Sources) -> None:
    suffixes = {path.suffix.lower() for path in folder.files}
    if folder.is_leaf and suffixes & _PICTURES and suffixes.isdisjoint(VIDEO_SUFFIXES):
        _add_images(folder.path, folder.is_flow or bool(suffixes & _FIELDS), found)
        return
    for path in folder.files:
        _add_file(path, found)


def _add_images(folder: Path, is_flow: bool, found: Sources) -> None:
    if is_flow:
        video = folder.parent if folder.name.lower() in ("u", "v", "x", "y") else folder
        found.flow = found.flow or video.parent.parent
    else:
        found.clips.setdefault(f"{folder.parent.name}/{folder.name}", folder)


def _add_file(path: Path, found: Sources) -> None:
    # The sub-splits of J-HMDB have the names of its splits.
    if path.parent.name.startswith("sub_"):
        return
    if is_video_file(path.name):
        found.clips.setdefault(f"{path.parent.name}/{path.stem}", path)
    elif path.name == "puppet_mask.mat":
        found.masks = found.masks or path.parents[2]
    elif path.name in _ANNOTATIONS:
        found.files.setdefault(path.name, path)
    elif _SPLIT.fullmatch(path.name):
        found.splits.setdefault(path.name, path)
