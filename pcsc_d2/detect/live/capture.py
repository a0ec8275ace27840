"""A feed as a source of the detector: the newest frame, whatever was missed before it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from pcsc_d2.detect.live.feeds import Feed
from pcsc_d2.detect.sources import Frame
from pcsc_d2.utils.text import one_line
from pcsc_d2.video import VideoError

logger = logging.getLogger(__name__)
# Seconds before a feed that ended is opened again: doubled each time, up to the second.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
# Times that a feed is opened before one that has never given a frame is taken for not there.
_FIRST_TRIES = 4
# Seconds without a frame after which a feed that has not ended is no longer called live.
_SILENCE = 3.0
# Frames that are kept for their boxes, which come later.
_KEPT = 256


class Capture:
    """Frames as they come, for one pass.

    A thread takes every frame of the feed and keeps the newest. Whoever is too slow for all of
    them misses some, and is never behind by more than what it holds itself.

    Args:
        feed: where they come from.
        rate: frames per second, nominal.

    Attributes:
        came: frames that the feed gave.
        dropped: those of them that nobody saw.
    """

    expected = None

    def __init__(self, feed: Feed, rate: float = 25.0) -> None:
        self.name, self.rate, self.problem = feed.name, rate, ""
        self._feed = feed
        self._change = threading.Condition()
        self._newest: tuple[float, np.ndarray] | None = None
        self._over = False
        self._kept: dict[int, tuple[float, np.ndarray]] = {}
        self._order: deque[int] = deque()
        self.came = self.dropped = 0
        self._state, self._last = "opening", 0.0

    @property
    def state(self) -> str:
        """It is "opening", "live", "waiting" for frames, "reconnecting" or "ended"."""
        silent = self._state == "live" and time.monotonic() - self._last > _SILENCE
        return "waiting" if silent else self._state

    def stop(self) -> None:
        """Show no more frames."""
        with self._change:
            self._over = True
            self._change.notify_all()

    def again(self) -> Capture:
        """See ``Source``; what is over gives nothing."""
        return self

    def __iter__(self) -> Iterator[Frame]:
        thread = threading.Thread(target=self._watch, name="capture", daemon=True)
        thread.start()
        began, number, size = time.monotonic(), 0, None
        try:
            while (newest := self._next()) is not None:
                came, pixels = newest
                size = size or pixels.shape
                if pixels.shape != size:
                    raise VideoError(self.name, "its frames have another size than before")
                number += 1
                self._keep(number, came, pixels)
                yield Frame(number, came - began, pixels)
        finally:
            self.stop()

    def seen(self, number: int) -> tuple[float, np.ndarray] | None:
        """When a frame came (``time.monotonic``), and its pixels; None where it is forgotten."""
        with self._change:
            return self._kept.get(number)

    def _keep(self, number: int, came: float, pixels: np.ndarray) -> None:
        with self._change:
            self._kept[number] = came, pixels
            self._order.append(number)
            if len(self._order) > _KEPT:
                del self._kept[self._order.popleft()]

    def _next(self) -> tuple[float, np.ndarray] | None:
        with self._change:
            self._change.wait_for(lambda: self._newest is not None or self._over)
            newest, self._newest = self._newest, None
            return newest

    def _watch(self) -> None:
        """The thread: opens the feed again and again, if it has ever given a frame."""
        wait, tries = _FIRST_WAIT, 0
        while not self._over:
            before = self.came
            tries += 1
            try:
                self._take_all()
                reason = "it ended"
            except Exception as error:  # of the camera, the network or the codec: it may come back
                reason = error.reason if isinstance(error, VideoError) else one_line(error)
            wait = _FIRST_WAIT if self.came > before else min(2 * wait, _LONGEST_WAIT)
            if not self._feed.comes_back:
                self.problem = "" if reason == "it ended" else reason
                break
            if not self.came and tries == _FIRST_TRIES:
                self.problem = f"{reason}; given up after {tries} tries without a frame"
                break
            if not self._over:
                self._state = "reconnecting"
                logger.warning("%s: %s; again in %.1f s", self.name, reason, wait)
                with self._change:
                    self._change.wait_for(lambda: self._over, timeout=wait)
        self._state = "ended"
        self.stop()

    def _take_all(self) -> None:
        with closing(self._feed.open()) as frames:
            for pixels in frames:
                with self._change:
                    if self._over:
                        return
                    self._state, self._last = "live", time.monotonic()
                    self.came += 1
                    self.dropped += self._newest is not None
                    self._newest = self._last, pixels
                    self._change.notify_all()
