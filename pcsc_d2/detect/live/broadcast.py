"""The newest picture for any number of viewers, none of whom is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Status:
    """How it goes.

    Attributes:
        source: its name.
        state: of the capture.
        lag: seconds from when the frame in the picture came to when its boxes were there.
        rate: pictures per second of late.
        came, dropped: frames.
        found: what is in the picture, for people.
    """

    source: str = ""
    state: str = "opening"
    lag: float = 0.0
    rate: float = 0.0
    came: int = 0
    dropped: int = 0
    found: tuple[str, ...] = ()


class Broadcast:
    """Holds one picture.

    Args:
        source: its name.
        now: gives what of the status can change without a picture, as when the source is gone.
    """

    def __init__(self, source: str = "", now: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._change = threading.Condition()
        self._picture, self._number, self._over = b"", 0, False
        self._status, self._now = Status(source=source), now

    @property
    def status(self) -> Status:
        """How it goes now."""
        return replace(self._status, **self._now())

    def publish(self, picture: bytes, status: Status) -> None:
        """Put a picture (JPEG) in the place of the one before."""
        with self._change:
            self._picture, self._status = picture, status
            self._number += 1
            self._change.notify_all()

    def close(self) -> None:
        """No more pictures come."""
        with self._change:
            self._over = True
            self._change.notify_all()

    def pictures(self) -> Iterator[bytes]:
        """The picture there is, then each next one; those that come meanwhile are passed over."""
        seen = 0
        while True:
            with self._change:
                while self._number == seen and not self._over:
                    self._change.wait()
                if self._number == seen:
                    return
                seen, picture = self._number, self._picture
            yield picture
