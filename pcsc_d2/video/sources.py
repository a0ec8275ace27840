"""What is in the folders and archives in which a dataset is distributed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pcsc_d2.video.archives import is_archive, unpack

_VIDEOS = {".avi", ".mp4", ".mkv", ".webm"}
_IMAGES = {".jpg", ".jpeg", ".png"}
_HIDDEN = (".", "__MACOSX")
_FLOW = re.compile("flow|brox", re.IGNORECASE)
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


def find_sources(paths: Sequence[Path], unpacked: Path, threads: int = 1) -> Sources:
    """Looks through folders, archives and single files for what makes a dataset.

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
        else:
            _scan(path, bool(_FLOW.search(path.name)), found, seen)
    return found


def _opened(path: Path, unpacked: Path) -> Path:
    return unpack(path, unpacked / path.name) if is_archive(path) else path


def _scan(folder: Path, is_flow: bool, found: Sources, seen: set[str]) -> None:
    """Adds what a folder and those below it hold; links are followed, each folder once."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith(_HIDDEN))
    below = [path for path in entries if path.is_dir()]
    files = [path for path in entries if not path.is_dir()]
    fields = [path for path in files if path.suffix.lower() == ".flo"]
    if not below and (fields or any(path.suffix.lower() in _IMAGES for path in files)):
        _add_images(folder, is_flow or bool(fields), found)
    for path in files:
        _add_file(path, found)
    for path in below:
        _scan(path, is_flow or bool(_FLOW.search(path.name)), found, seen)


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
    if path.suffix.lower() in _VIDEOS:
        found.clips.setdefault(f"{path.parent.name}/{path.stem}", path)
    elif path.name == "puppet_mask.mat":
        found.masks = found.masks or path.parents[2]
    elif path.name in _ANNOTATIONS:
        found.files.setdefault(path.name, path)
    elif _SPLIT.fullmatch(path.name):
        found.splits.setdefault(path.name, path)
