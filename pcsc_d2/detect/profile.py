"""How long each part of a job works, what it waits for others left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn

Item = TypeVar("Item")
_WAITING = "waiting"
_NO_MORE = object()


@dataclass
class Part:
    """What a part has done: items, seconds by the clock, and CPU seconds of its own thread.

    Threads that a library starts (a network's, an encoder's) are not in the CPU seconds.
    """

    items: int = 0
    seconds: float = 0.0
    cpu: float = 0.0


class Profile:
    """Time and items by part; parts run in several threads, and may be nested.

    Inside a part, time in another part (or waiting) counts for the inner one alone.

    Attributes:
        parts: by name.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def part(self, name: str, items: int = 1) -> Iterator[None]:
        """Count the block's time, less that of blocks inside it, and ``items`` for the part."""
        inner = self._thread.__dict__.setdefault("inner", [])
        inner.append([0.0, 0.0])
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent, cpu = time.perf_counter() - start, time.thread_time() - cpu_start
            inner_spent, inner_cpu = inner.pop()
            if inner:
                inner[-1][0] += spent
                inner[-1][1] += cpu
            with self._lock:
                part = self.parts.setdefault(name, Part())
                part.items += items
                part.seconds += spent - inner_spent
                part.cpu += cpu - inner_cpu

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that each takes to come counted for a part."""
        iterator = iter(items)
        try:
            while True:
                with self.part(name, 0):
                    item = next(iterator, _NO_MORE)
                if item is _NO_MORE:
                    return
                with self._lock:
                    self.parts[name].items += 1
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def waiting(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that each takes to come left out of the part around it."""
        return self.timed(_WAITING, items)

    def watch(self, name: str, module: nn.Module) -> None:
        """Count a module's time for a part from now on; its calls are no items."""
        running: list[AbstractContextManager[None]] = []

        def before(*_: object) -> None:
            running.append(self.part(name, 0))
            running[-1].__enter__()

        def after(*_: object) -> None:
            running.pop().__exit__(None, None, None)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after, always_call=True)

    def table(self) -> str:
        """The parts, the slowest first: it is what a faster job needs to be faster."""
        wall = time.perf_counter() - self._started
        head = "part       seconds    items  ms/item  items/s  busy  CPU ms/item"
        rows = [head, "-" * len(head)]
        parts = {name: part for name, part in self.parts.items() if name != _WAITING}
        for name, part in sorted(parts.items(), key=lambda each: -each[1].seconds):
            count = max(part.items, 1)
            rate = count / part.seconds if part.seconds else float("inf")
            rows.append(
                f"{name:<10}{part.seconds:>8.2f}{part.items:>9}{1000 * part.seconds / count:>9.2f}"
                f"{rate:>9.1f}{part.seconds / wall:>6.0%}{1000 * part.cpu / count:>13.2f}"
            )
        rows.append(f"{'all':<10}{wall:>8.2f}  (parts run side by side)")
        return "\n".join(rows)
