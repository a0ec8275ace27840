"""Lists of videos: a file with a path or an address in each line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pcsc_d2.utils.text import printable

LIST_SUFFIXES = (".txt", ".lst")
_ADDRESS = re.compile(r"(?i)https?://")


def is_list(path: Path) -> bool:
    """Whether a file of this name is taken for a list."""
    return path.suffix.lower() in LIST_SUFFIXES


def is_address(text: str) -> bool:
    """Whether a text is an address of the kind that can be opened."""
    return _ADDRESS.match(text) is not None


def read_list(path: Path) -> Iterator[tuple[str, str]]:
    """What the lines of a list name, and which lines they are, for people.

    Empty lines and those that begin with ``#`` are passed over. Bytes are kept as they are, as
    names of files need not be text.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds zero bytes, as no list does.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if b"\0" in line:
                raise ValueError(f"{printable(path)}: is no list of videos (line {number})")
            text = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf")).strip("\r\n")
            if text.strip() and not text.startswith("#"):
                yield text, f"line {number} of {printable(path.name)}"
