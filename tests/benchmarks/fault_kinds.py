"""What befalls the jobs of ``kills.py``: signals, a disk that fills, one that turns read-only."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fault_jobs import Run

# Bytes of the disk that turns read-only.
_DISK = 64 << 20
# What a job needs of a disk besides its results: blocks of folders and of files' ends.
_BLOCK = 4096

Mend = Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """A kind of fault; one of the classes below.

    Attributes:
        name: in the table, and on the command line.
    """

    name: str

    @contextmanager
    def place(self, folder: Path, share: float, needed: int) -> Iterator[Mend]:
        """Make the folder that a job writes to what it is; what is given mends it afterwards.

        Args:
            folder: is there, and empty.
            share: of the way at which the fault comes, 0 to 1.
            needed: bytes of the job's results.
        """
        yield lambda: None

    def strike(self, job: Run, folder: Path, seconds: float) -> None:
        """Let it happen after so many seconds, while a job runs."""

    def wrong(self, status: int | None, job: Run, folder: Path) -> str:
        """What is wrong with how the job ended; empty for nothing."""
        raise NotImplementedError


class Signalled(Fault):
    """A signal of this name."""

    def strike(self, job: Run, folder: Path, seconds: float) -> None:
        time.sleep(seconds)
        job.end(signal.Signals[self.name])

    def wrong(self, status: int | None, job: Run, folder: Path) -> str:
        lines = job.lines()
        if status == -signal.Signals[self.name] and not any("Traceback" in line for line in lines):
            # SIGTERM may also come before the program is told of signals.
            return ""
        # Behind a progress bar, or before one that is closed, which draws it once more.
        told = any("interrupted" in line for line in lines[-3:])
        return "" if status == 130 and told else f"status {status}: {job.said()[:90]}"


class Disk(Fault):
    """Something that a disk does; the job ends in one line that names a place on it."""

    def wrong(self, status: int | None, job: Run, folder: Path) -> str:
        lines = job.lines() or [""]
        errors = [line for line in lines if line.startswith(("error", "Traceback"))]
        named = len(errors) == 1 and errors[0].startswith("error: ") and str(folder) in errors[0]
        if status in (1, 2) and named and lines[-1] == errors[0]:
            return ""
        return f"status {status}: {' | '.join([*errors, lines[-1]])[:160]}"


class FullDisk(Disk):
    """A disk that has room for a share of the results."""

    @contextmanager
    def place(self, folder: Path, share: float, needed: int) -> Iterator[Mend]:
        room = max(int(share * needed), _BLOCK)
        _run("mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", folder)
        try:
            yield lambda: _run("mount", "-o", f"remount,size={_DISK}", folder)
        finally:
            _run("umount", folder)


class ReadOnlyDisk(Disk):
    """A disk that turns read-only, as after an error; what had not reached it is lost."""

    @contextmanager
    def place(self, folder: Path, share: float, needed: int) -> Iterator[Mend]:
        image = folder.with_name("disk")
        with open(image, "wb") as file:
            file.truncate(_DISK)
        _run("mkfs.ext4", "-q", "-F", image)
        _run("mount", "-o", "loop", image, folder)
        (folder / "lost+found").rmdir()

        def mend() -> None:
            _run("umount", folder)
            subprocess.run(["e2fsck", "-p", image], capture_output=True)  # tells that it mended
            _run("mount", "-o", "loop", image, folder)

        try:
            yield mend
        finally:
            _run("umount", folder)
            image.unlink()

    def strike(self, job: Run, folder: Path, seconds: float) -> None:
        time.sleep(seconds)
        _run("mount", "-o", "remount,abort", folder)


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


FAULTS = [
    *map(Signalled, ("SIGKILL", "SIGTERM", "SIGINT")),
    FullDisk("full disk"),
    ReadOnlyDisk("read-only disk"),
]
