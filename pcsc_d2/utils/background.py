"""Iterators that run ahead in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
# Seconds between looks at whether anybody still wants the items.
_PATIENCE = 0.1


def background(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """The same items, made by a thread that is at most ``ahead`` items in front.

    An error of ``items`` is raised where the consumer meets it. Closing this iterator ends the
    thread and closes ``items`` there, so that chains of these end from the last to the first.
    """
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(ahead)
    unwanted = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, unwanted), daemon=True)
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if not more:
                break
            yield item
        if item is not None:
            raise item
    finally:
        unwanted.set()
        thread.join()


def _fill(
    items: Iterable[Any], ready: queue.Queue[tuple[bool, Any]], unwanted: threading.Event
) -> None:
    error = None
    try:
        for item in items:
            if not _put(ready, (True, item), unwanted):
                break
    except BaseException as caught:  # it is the consumer's
        error = caught
    try:
        close = getattr(items, "close", None)
        if close is not None:
            close()
    finally:
        _put(ready, (False, error), unwanted)


def _put(
    ready: queue.Queue[tuple[bool, Any]], item: tuple[bool, Any], unwanted: threading.Event
) -> bool:
    while not unwanted.is_set():
        try:
            ready.put(item, timeout=_PATIENCE)
            return True
        except queue.Full:
            continue
    return False
