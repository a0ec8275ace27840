"""How files are written, whole or not at all, and how files of arrays are read."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from pcsc_d2.utils.leftovers import hold, remove_abandoned
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.zips import ARRAYS, check_zip

# What ``tempfile`` makes names unique with.
_RANDOM = "????????"

# The headers of arrays are Python literals, which CPython before 3.11.8 and 3.12.2 now and then
# fails to parse while another thread parses some, too (python/cpython#106905).
_parsing = threading.Lock()


def _forget_threads() -> None:
    """A process that is forked while a thread reads is not to wait for that thread for ever."""
    global _parsing
    _parsing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON for people to read, atomically."""
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=1)


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """What a file of JSON holds.

    Args:
        what: it is to be, and what to do where it is damaged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none; one line that names it.
    """
    with reading(path, what):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def file_digest(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_array(file: str | os.PathLike[str] | IO[bytes], mapped: bool = False) -> np.ndarray:
    """The array of an ``.npy`` file, without pickled objects; as ``numpy.load``, in any thread.

    Args:
        file: its path, or an open binary file.
        mapped: leave it on disk, to be read where it is looked at.
    """
    with _parsing:
        return np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)


def load_arrays(
    path: str | os.PathLike[str], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Read the named arrays of an ``.npz`` file; an absent optional one is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an ``.npz`` file, cut short, an array missing, or pickled objects in it.
    """
    with _open_existing(path) as file, reading(path, ".npz"):
        if file.read(6) == b"\x93NUMPY":
            raise ValueError("it holds one array; an .npz file of several is expected")
        file.seek(0)
        check_zip(file, ARRAYS)
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            missing = [name for name in required if name not in archive.files]
            if missing:
                raise ValueError(f"array '{missing[0]}' is missing")
            names = [n for n in (*required, *optional) if n in archive.files]
            with _parsing:
                return {name: archive[name] for name in names}


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray | None]) -> None:
    """Write an ``.npz`` file atomically; arrays that are None are left out."""
    with atomic_write(path) as file:
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path`` that takes its place only if the block succeeds.

    It is on the disk before it does, so that a crash of the machine leaves the old file or the new
    one. An OSError of a full disk names ``path``. What a killed process left of its own neighbour
    is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent.glob(glob.escape(_prefix(path)) + _RANDOM))
    # Names that are no UTF-8, and text of others, can hold what UTF-8 has no bytes for.
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
    handle, temporary = _neighbour(path)
    try:
        # mkstemp makes private files; what is written here is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.close(handle)
        # Opened by its name, which some writers (FFmpeg for "index first") open once more.
        with open(temporary, mode, **text) as file:
            hold(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _neighbour(path: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
    except OSError as error:
        error.filename = str(path)  # what the user knows of
        raise


def remove_leftovers(folder: str | os.PathLike[str], names: str) -> None:
    """Remove what an ``atomic_write`` to such files left when its process was killed.

    Args:
        folder: that no other process writes such files to.
        names: a pattern, such as ``model_*.pth``.
    """
    for leftover in Path(folder).glob(f".{names}.*"):
        leftover.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """What the names of a file's neighbours begin with; what makes them unique fits behind it, in
    the 255 bytes that a name may have."""
    return f".{os.fsdecode(os.fsencode(path.name)[:200])}."


def _open_existing(path: str | os.PathLike[str]) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
