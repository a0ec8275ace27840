"""A part of an archive for each of several processes, which need not know of each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """The ``index``-th of ``count`` shares.

    A video's share follows from its folder's name alone. So it is the same for processes that
    see the archive at different times, or by another path.

    Attributes:
        index: from 1.
        count: of all shares.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``i/n``; ValueError where it is none."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"{text!r} is no share; the first of three is 1/3, the last 3/3")
        return cls(int(match[1]), int(match[2]))

    def holds(self, folder: str) -> bool:
        """Whether the video of a folder is in this share."""
        digest = hashlib.sha256(folder.casefold().encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
