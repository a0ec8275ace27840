"""How long each part of a job works, what it waits for others left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
_WAITING = "waiting"
_NO_MORE = object()


class Profile:
    """Seconds and items by part; parts run in several threads, and may be nested.

    Inside a part, time in another part (or waiting) counts for the inner one alone.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.items: dict[str, int] = {}
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def part(self, name: str, items: int = 1) -> Iterator[None]:
        """Counts the block's time, less that of blocks inside it, and ``items`` for the part."""
        stack = self._thread.__dict__.setdefault("inner", [])
        stack.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            own = spent - stack.pop()
            if stack:
                stack[-1] += spent
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + own
                self.items[name] = self.items.get(name, 0) + items

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that each takes to come counted for a part."""
        iterator = iter(items)
        try:
            while True:
                with self.part(name, 0):
                    item = next(iterator, _NO_MORE)
                if item is _NO_MORE:
                    return
                self._count(name)
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _count(self, name: str) -> None:
        with self._lock:
            self.items[name] += 1

    def waiting(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that each takes to come left out of the part around it."""
        return self.timed(_WAITING, items)

    def table(self) -> str:
        """The parts, the slowest first: it is what a faster job needs to be faster."""
        wall = time.perf_counter() - self._started
        rows = [f"{'part':<10}{'seconds':>9}{'items':>9}{'ms/item':>9}{'items/s':>9}{'busy':>6}"]
        parts = {k: v for k, v in self.seconds.items() if k != _WAITING}
        for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
            count = max(self.items[name], 1)
            rate = count / seconds if seconds else float("inf")
            rows.append(
                f"{name:<10}{seconds:>9.2f}{count:>9}{1000 * seconds / count:>9.2f}{rate:>9.1f}"
                f"{seconds / wall:>6.0%}"
            )
        rows.append(f"{'all':<10}{wall:>9.2f}   (parts run side by side)")
        return "\n".join(rows)
