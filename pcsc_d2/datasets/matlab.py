"""MATLAB files. SciPy's reader can crash on damaged ones: a process of its own reads them first."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import scipy.io

from pcsc_d2.utils.parsing import reading

# Reads the files that are named on its standard input; bytes of memory that they may take.
_MOST_MEMORY = 8 << 30
_PROBE = f"""
import sys, scipy.io
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({_MOST_MEMORY}, {_MOST_MEMORY}))
except (ImportError, ValueError, OSError):
    pass
for name in sys.stdin.buffer:
    try:
        scipy.io.loadmat(bytes.fromhex(name.decode()).decode("utf-8", "surrogateescape"))
        told = "fine"
    except MemoryError:
        told = "it unfolds to more than fits into memory"
    except Exception:
        told = "fine"  # what is wrong is seen, and said, where it is read
    print(told, flush=True)
"""


class MatlabFiles:
    """Reads MATLAB files, one after the other; a context manager."""

    def __init__(self) -> None:
        self._probe: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MatlabFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """The variables of a file by name.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or no MATLAB file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file")
        told = self._told(path)
        if told != "fine":
            raise ValueError(f"{path}: it is damaged, {told}; fetch it again")
        with reading(path, "a MATLAB file"):
            return scipy.io.loadmat(path)

    def _told(self, path: str | os.PathLike[str]) -> str:
        """What the process says about a file."""
        if self._probe is None:
            self._probe = subprocess.Popen(
                [sys.executable, "-c", _PROBE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        with suppress(BrokenPipeError):
            self._probe.stdin.write(os.fsencode(path).hex().encode() + b"\n")
            self._probe.stdin.flush()
        told = self._probe.stdout.readline().decode().strip()
        if not told:
            self._end()
        return told or "reading it crashes"

    def _end(self) -> None:
        if self._probe is not None:
            self._probe.kill()
            self._probe.communicate()
            self._probe = None
