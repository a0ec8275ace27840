"""The folder of each video's results: the tree of the videos, in names that any disk takes."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pcsc_d2.detect.archive.layout import PAGES, RESERVED
from pcsc_d2.utils.text import printable

# Bytes of a folder's name; file systems take 255.
_LONGEST = 200


def name_folders(names: Sequence[str], taken: set[str]) -> list[str]:
    """A folder for each video: its path, without the suffix where that is unique.

    No folder is another one's parent, since a video's folder is replaced as a whole, and no two
    are the same where a disk holds names that differ in case for the same.

    Args:
        names: paths relative to what was named, with suffixes.
        taken: folders that are taken, in lower case.

    Returns:
        Relative paths with ``/``, in order.
    """
    plain = [_safe(os.path.splitext(name)[0]) for name in names]
    counts = Counter(plain)
    wanted = [p if counts[p] == 1 else _safe(name) for p, name in zip(plain, names)]
    parents = {parent for folder in wanted for parent in _parents(folder.casefold())}
    used = taken | RESERVED | parents
    folders = []
    for name, folder in zip(names, wanted):
        free = next(f for f in _candidates(folder, _safe(name)) if f.casefold() not in used)
        used.add(free.casefold())
        folders.append(free)
    return folders


def _candidates(folder: str, full: str) -> Iterator[str]:
    yield folder
    yield full
    again = 2
    while True:
        yield f"{full}-{again}"
        again += 1


def _parents(folder: str) -> Iterator[str]:
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _safe(name: str) -> str:
    """A relative path that any disk takes."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    safe = "/".join(map(_safe_part, parts)) or "video"
    # The pages of an archive have a folder to themselves.
    first, slash, rest = safe.partition("/")
    return f"{first}_{slash}{rest}" if first.casefold() == PAGES else safe


def _safe_part(name: str) -> str:
    text = unicodedata.normalize("NFC", printable(name))
    # Backslashes and colons are no part of a name elsewhere; "-2" and more has to fit behind it.
    text = text.replace("\\", "_").replace(":", "_").encode()[:_LONGEST].decode("utf-8", "ignore")
    return text.lstrip(".").rstrip(". ") or "video"
