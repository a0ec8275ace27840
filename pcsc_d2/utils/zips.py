"""How much a zip file may unfold to: it comes from others, and a kilobyte can claim a terabyte."""

from __future__ import annotations

import os
import zipfile
from typing import IO, NamedTuple


class Limit(NamedTuple):
    """What the members may be together: so many times the file's size, and so many bytes more."""

    times: int
    bytes: int


# Arrays and text compress well where they repeat.
ARRAYS = Limit(100, 1 << 30)
# torch compresses the code of exported networks, and no tensors.
TENSORS = Limit(1, 64 << 20)


def check_zip(file: str | os.PathLike[str] | IO[bytes], limit: Limit) -> None:
    """Raise ValueError for a zip whose members overlap, have one name or unfold to too much.

    Args:
        file: a path, or an open file, which is left at its end.
        limit: what they may be together.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = sum(member.compress_size for member in members)
        size = archive.fp.seek(0, os.SEEK_END)
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its parts have one name")
    if packed > size:
        raise ValueError("its parts overlap")
    unfolded = sum(member.file_size for member in members)
    if unfolded > limit.times * size + limit.bytes:
        amount = f"{unfolded:,} bytes of {size:,}"
        raise ValueError(f"its parts unfold to much more than the file's size ({amount}); refused")


def check_content(path: str | os.PathLike[str]) -> None:
    """Raise ValueError where a member is not what was written, as its checksum tells.

    torch does not look at checksums: it takes changed weights for good ones, and can crash. To be
    called after ``check_zip``.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged} is damaged")
