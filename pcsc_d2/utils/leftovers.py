"""What a killed process left unfinished, told from what a living one is working on.

Whoever makes a file or folder holds a lock on it, which the system lets go when the process ends,
however it ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without such locks, where nothing is taken for left over
    fcntl = None

_LOCK = ".lock"
# Seconds between making a file and locking it, at most.
_YOUNG = 2.0


def hold(handle: int) -> None:
    """Lock an open file until it is closed or the process ends; nothing where that cannot be."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class HeldFolder:
    """A hidden folder to work in that is known as left over once its process is gone.

    Attributes:
        path: of the folder.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR)
        hold(self._lock)

    def release(self) -> None:
        """Let go of the folder, which is what it holds besides from now on."""
        os.close(self._lock)
        (self.path / _LOCK).unlink(missing_ok=True)


def remove_abandoned(paths: Iterable[Path]) -> int:
    """Remove those of some files and ``HeldFolder``s whose process is gone; their number."""
    return sum(_remove(path) for path in list(paths))


def _remove(path: Path) -> bool:
    try:
        if not _is_abandoned(path):
            return False
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError:  # another process was faster, or it is not ours
        return False
    return True


def _is_abandoned(path: Path) -> bool:
    if fcntl is None or path.is_symlink() or time.time() - path.stat().st_mtime < _YOUNG:
        return False
    lock = path / _LOCK if path.is_dir() else path
    if not lock.exists():
        return path.is_dir()
    handle = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
