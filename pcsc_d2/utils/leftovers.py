"""What a killed process left unfinished, told from what a living one is working on.

Whoever makes a file or folder holds a lock on it, which the system lets go when the process ends,
however it ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without such locks, where nothing is taken for left over
    fcntl = None

_LOCK = ".lock"
# Seconds between making a file and locking it, at most; for so long nobody can tell what it is.
YOUNG = 2.0


def hold(handle: int) -> None:
    """Lock an open file until it is closed or the process ends; nothing where that cannot be."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold a lock that one process at a time has; whether it is held.

    Args:
        path: of a file that stands for the lock; it is made, and stays.
        wait: for whoever has it. On a disk without locks everybody has it.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        yield _is_ours(handle, wait)
    finally:
        os.close(handle)


def _is_ours(handle: int, wait: bool) -> bool:
    try:
        return fcntl is None or _flock(handle, wait)
    except OSError:
        return True


class HeldError(OSError):
    """The folder is there, and its process may be alive."""


class HeldFolder:
    """A hidden folder to work in that is known as left over once its process is gone.

    Args:
        parent: of the folder.
        prefix: that its name begins with.
        name: the rest of its name; whoever else asks for the same has to wait. None takes one
            that nobody has.

    Attributes:
        path: of the folder.

    Raises:
        HeldError: a folder of that name is there, and not left over for certain.
    """

    def __init__(self, parent: Path, prefix: str, name: str | None = None) -> None:
        if name is None:
            self.path = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        else:
            self.path = parent / f"{prefix}{name}"
            _remove(self.path)
            try:
                self.path.mkdir(0o700)
            except FileExistsError:
                raise HeldError(f"{self.path}: another process is at work there") from None
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
        with _taken_over(path) as is_abandoned:
            if not is_abandoned:
                return False
            # Under a name of its own, so that no one takes it for what may come in its place.
            trash = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{path.name[:100]}-"))
            os.replace(path, trash / path.name)
        shutil.rmtree(trash)
    except OSError:  # another process was faster, or it is not ours
        return False
    return True


@contextmanager
def _taken_over(path: Path) -> Iterator[bool]:
    """Whether a path's process is gone; then nobody else is told so during the block."""
    if fcntl is None or path.is_symlink() or time.time() - path.stat().st_mtime < YOUNG:
        yield False
        return
    lock = path / _LOCK if path.is_dir() else path
    if not lock.exists():
        yield path.is_dir()
        return
    handle = os.open(lock, os.O_RDWR)
    try:
        yield _flock(handle) and os.path.samestat(os.fstat(handle), lock.stat())
    finally:
        os.close(handle)


def _flock(handle: int, wait: bool = False) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
