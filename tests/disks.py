"""Disks that take no more, for tests of everything that writes."""

from __future__ import annotations

import errno
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes (negative: any)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if size >= 0 else before[0], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every folder refuse new files from then on; permissions do not stop root."""

    def refuse(*_: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", f"{kwargs.get('dir')}/.hidden")

    return lambda: monkeypatch.setattr(tempfile, "mkstemp", refuse)
