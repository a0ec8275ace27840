"""Files that are kept open for the next read."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

File = TypeVar("File")


class OpenFiles(Generic[File]):
    """Open files by key; beyond a number the least recently used is let go.

    Threads share them; each process has its own, since after a fork the position in a file would
    be shared. Nothing is closed by force: a file that is still read stays open for that long.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._process, self._lock = limit, os.getpid(), threading.Lock()
        self._files: OrderedDict[Hashable, File] = OrderedDict()

    def __len__(self) -> int:
        return len(self._files)

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self._limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["limit"])

    def get(self, key: Hashable, opened: Callable[[], File]) -> File:
        """The file of a key, opened where it is not yet."""
        if self._process != os.getpid():
            self.__init__(self._limit)
        with self._lock:
            file = self._files.pop(key, None)
            if file is None:
                file = opened()
            self._files[key] = file
            if len(self._files) > self._limit:
                self._files.popitem(last=False)
            return file

    def drop(self, key: Hashable) -> None:
        """Forget a file, which is opened anew next time."""
        with self._lock:
            self._files.pop(key, None)
