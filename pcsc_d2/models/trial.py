"""Exported files of others are loaded by another process first: torch crashes on some of them.

Its reader of TorchScript overruns the stack on deep nesting, among other things, and takes the
whole process with it. A file that was loaded once, or was written here, is known by its digest and
goes without: the other process costs the start of torch and the time of loading.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import torch

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.models.info import ModelError
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.files import atomic_write, file_digest
from pcsc_d2.utils.trust import trusted

logger = logging.getLogger(__name__)

# Digests that are kept, the newest of them.
_MOST_KNOWN = 1000
_LONGEST = 600.0  # seconds
_MOST_MEMORY = 32 << 30
# Loads a file, by its path or out of standard input. What is wrong with it, short of a crash, is
# found and said where it is loaded in earnest.
_PROBE = f"""
import io, sys, warnings
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({_MOST_MEMORY}, {_MOST_MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
warnings.simplefilter("ignore")
import torch, torchvision
torch.set_num_threads(1)
path = bytes.fromhex(sys.argv[1]).decode("utf-8", "surrogateescape")
try:
    torch.jit.load(path or io.BytesIO(sys.stdin.buffer.read()), map_location="cpu")
except Exception:
    pass
"""


def require_harmless(path: str | os.PathLike[str], whole: str | bytes) -> None:
    """Let another process load a TorchScript file that is not known, before this one does.

    Args:
        path: where it comes from.
        whole: the same, or the bytes that a packed file was put together to.

    Raises:
        ModelError: that process crashed, or took far too long.
    """
    if trusted() or Path(path).resolve() == SHIPPED_MODEL.resolve():
        return
    digest = file_digest(path)
    if digest in _known():
        return
    logger.info("%s: not known yet; another process loads it first", path)
    ended = _ended(whole)
    if ended:
        raise ModelError(f"{path}: damaged or hostile, loading it {ended}; refused")
    _remember(digest)


def remember(path: str | os.PathLike[str]) -> None:
    """Take a file that was written here for harmless."""
    _remember(file_digest(path))


def _ended(whole: str | bytes) -> str:
    """What is wrong with how the other process ended; empty for nothing."""
    name, data = ("", whole) if isinstance(whole, bytes) else (os.path.abspath(whole), None)
    words = [sys.executable, "-c", _PROBE, os.fsencode(name).hex()]
    try:
        done = subprocess.run(words, input=data, capture_output=True, timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        return f"takes over {_LONGEST:.0f} seconds"
    if done.returncode >= 0:
        return ""
    with suppress(ValueError):
        return f"ends the process ({signal.Signals(-done.returncode).name})"
    return f"ends the process ({done.returncode})"


def _list() -> Path:
    return cache_folder("loaded") / f"torch-{torch.__version__}"


def _known() -> list[str]:
    try:
        return _list().read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _remember(digest: str) -> None:
    known = [each for each in _known() if each != digest]
    with suppress(OSError):  # as where the cache cannot be written
        _list().parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(_list(), "w") as file:
            file.write("\n".join([*known[1 - _MOST_KNOWN :], digest]))
