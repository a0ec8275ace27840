"""Archives unpacked so that nothing lands outside the folder meant for it."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm import tqdm

from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line
from pcsc_d2.video.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_hidden

KEPT_SUFFIXES = {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, ".flo", ".mat", ".pkl", ".txt"}
_ZIP = {".zip"}
_TAR = {".tar", ".gz", ".tgz", ".bz2", ".xz"}
_REFUSED = {".rar", ".7z"}
_DONE = ".complete"


class _Member(NamedTuple):
    name: str
    size: int
    plain: bool  # a file, no link or device
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive, be it one that is refused."""
    return path.is_file() and path.suffix.lower() in _ZIP | _TAR | _REFUSED


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the videos, frames, flow and annotations of an archive into a folder.

    What is there with its full size is skipped, so that an interrupted run goes on.

    Args:
        archive: ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``.
        folder: made where it does not exist.

    Returns:
        The folder.

    Raises:
        ValueError: an archive of another kind, a damaged one, or one with a member that would
            leave the folder or is a link.
        OSError: the disk has no room.
    """
    if archive.suffix.lower() in _REFUSED:
        raise ValueError(f"{archive}: unpack it (for .rar: unrar x) and name the folder instead")
    done = folder / _DONE
    stamp = str(archive.stat().st_size)
    if done.is_file() and done.read_text(encoding="utf-8") == stamp:
        return folder
    try:
        members = _zip_members if archive.suffix.lower() in _ZIP else _tar_members
        for member in tqdm(members(archive, folder), f"unpacking {archive.name}", unit="file"):
            _write(archive, member, folder)
    except (OSError, MemoryError):
        raise
    # A damaged archive can raise nearly any error on the way.
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(archive)):
            raise
        raise ValueError(
            f"{archive}: damaged or encrypted ({one_line(error)}); fetch it again"
        ) from error
    with atomic_write(done, "w") as file:
        file.write(stamp)
    return folder


def _zip_members(archive: Path, folder: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        infos = [info for info in file.infolist() if not info.is_dir()]
        for info in infos:
            _target(archive, info.filename, folder)
        needed = sum(info.file_size for info in infos)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(f"{archive}: needs {needed:,} bytes in {folder}, {free:,} are free")
        for info in infos:
            plain = not stat.S_ISLNK(info.external_attr >> 16)
            yield _Member(info.filename, info.file_size, plain, lambda i=info: file.open(i))


def _tar_members(archive: Path, folder: Path) -> Iterator[_Member]:
    del folder  # the size of what is packed is not known before it is read
    with tarfile.open(archive, "r:*") as file:
        for info in file:
            if not info.isdir():
                yield _Member(
                    info.name, info.size, info.isfile(), lambda i=info: file.extractfile(i)
                )


def _write(archive: Path, member: _Member, folder: Path) -> None:
    target = _target(archive, member.name, folder)
    hidden = any(map(is_hidden, target.relative_to(folder).parts))
    if hidden or target.suffix.lower() not in KEPT_SUFFIXES:
        return
    if not member.plain:
        raise ValueError(f"{archive}: member '{member.name}' is a link or device; not unpacked")
    if target.is_file() and target.stat().st_size == member.size:
        return
    source = member.open()
    with source, atomic_write(target) as file:
        shutil.copyfileobj(source, file)


def _target(archive: Path, name: str, folder: Path) -> Path:
    """Where a member goes; ValueError for one that would leave the folder."""
    parts = PurePosixPath(name.replace("\\", "/"))
    target = folder / parts
    inside = target.resolve().is_relative_to(folder.resolve())
    if parts.is_absolute() or ".." in parts.parts or not inside:
        raise ValueError(f"{archive}: member '{name}' leaves the folder; the archive is refused")
    return target
