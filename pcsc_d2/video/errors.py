"""What is raised where a video cannot be read."""

from __future__ import annotations

from pcsc_d2.utils.text import printable


class VideoError(ValueError):
    """A video that is missing, empty, cut off or no video; one line that names the file.

    Attributes:
        path: the file or folder.
        reason: what is wrong and what to do.
        decoded: how many frames could be read before the trouble.
    """

    def __init__(self, path: object, reason: str, decoded: int = 0) -> None:
        super().__init__(str(path), reason, decoded)
        self.path, self.reason, self.decoded = str(path), reason, decoded

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"
