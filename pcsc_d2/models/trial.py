"""Exported files of others are loaded by another process first: some take the process with them.

torch's reader of TorchScript overruns the stack on deep nesting, among other things; what compiles
ONNX graphs divides by zero, or leaves its memory. A file that was loaded once, or was written here,
is known by its digest and goes without: the other process costs the start of torch and the time of
loading.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.models.info import ModelError
from pcsc_d2.runtime import COMPILERS, PRECISIONS, Engine, is_installed
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.files import atomic_write, file_digest
from pcsc_d2.utils.trust import trusted

logger = logging.getLogger(__name__)

_HERE = Path(__file__).parents[2]
# Digests that are kept, the newest of them.
_MOST_KNOWN = 1000
_LONGEST = 600.0  # seconds
_MOST_MEMORY = 32 << 30
# What is wrong with a file, short of a crash, is found and said where it is loaded in earnest.
_LIMITS = f"""
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
"""
# By its path, or out of standard input.
_LOADS = """
try:
    torch.jit.load(path or io.BytesIO(sys.stdin.buffer.read()), map_location="cpu")
except Exception:
    pass
"""
_COMPILES = """
from pcsc_d2.models.onnx.file import try_onnx
from pcsc_d2.runtime import Engine
try:
    try_onnx(path, Engine(*sys.argv[2:4]), sys.argv[4] == "True")
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
    name, data = ("", whole) if isinstance(whole, bytes) else (os.path.abspath(whole), None)
    _try(path, _torch_list(), _LIMITS + _LOADS, [_hex(name)], data)


def require_harmless_graph(path: str | os.PathLike[str], engine: Engine, windows: bool) -> None:
    """Let another process compile and run an ONNX file that is not known, before this one does.

    Args:
        path: of the file, which ``onnx.admission`` has looked through.
        engine: that is to run it.
        windows: in the pieces that windows take.

    Raises:
        ModelError: that process crashed, or took far too long.
    """
    if not trusted():
        how = [engine.name, engine.precision, str(windows)]
        words = [_hex(os.path.abspath(path)), *how]
        _try(path, _graph_list(*how), _LIMITS + _COMPILES, words, None)


def remember(path: str | os.PathLike[str]) -> None:
    """Take a TorchScript file that was written here for harmless."""
    _remember(file_digest(path), _torch_list())


def remember_graph(path: str | os.PathLike[str]) -> None:
    """Take an ONNX file that was written here for harmless, with every engine."""
    digest = file_digest(path)
    for name, precision, windows in product(COMPILERS, PRECISIONS, (True, False)):
        if is_installed(name):
            _remember(digest, _graph_list(name, precision, str(windows)))


def _try(
    path: str | os.PathLike[str],
    known: Path,
    program: str,
    words: list[str],
    data: bytes | None,
) -> None:
    digest = file_digest(path)
    if digest in _read(known):
        return
    logger.info("%s: not known yet; another process loads it first", path)
    ended = _ended([sys.executable, "-c", program, *words], data)
    if ended:
        raise ModelError(f"{path}: damaged or hostile, loading it {ended}; refused")
    _remember(digest, known)


def _ended(words: list[str], data: bytes | None) -> str:
    """What is wrong with how the other process ended; empty for nothing."""
    # Where this package is imported from a folder, the other process finds it there too.
    path = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = os.environ | {"PYTHONPATH": path}
    try:
        done = subprocess.run(words, input=data, capture_output=True, timeout=_LONGEST, env=env)
    except subprocess.TimeoutExpired:
        return f"takes over {_LONGEST:.0f} seconds"
    if done.returncode >= 0:
        return ""
    with suppress(ValueError):
        return f"ends the process ({signal.Signals(-done.returncode).name})"
    return f"ends the process ({done.returncode})"


def _hex(path: str) -> str:
    return os.fsencode(path).hex()


def _torch_list() -> Path:
    """Digests of known files; another version may crash on others."""
    return cache_folder("loaded") / f"torch-{torch.__version__}"


def _graph_list(engine: str, precision: str, windows: str) -> Path:
    kind = "windows" if windows == "True" else "clips"
    return cache_folder("loaded") / f"{engine}-{version(engine)}-{precision}-{kind}"


def _read(known: Path) -> list[str]:
    try:
        return known.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _remember(digest: str, path: Path) -> None:
    known = [each for each in _read(path) if each != digest]
    with suppress(OSError):  # as where the cache cannot be written
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            file.write("\n".join([*known[1 - _MOST_KNOWN :], digest]))
