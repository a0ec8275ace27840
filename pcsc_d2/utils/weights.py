"""Files of tensors as torch writes them: read as data, written whole or not at all."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.zips import TENSORS, check_content, check_zip


class DamagedError(ValueError):
    """A file that cannot be read as weights; one line that names it."""


def load_tensors(path: str | os.PathLike[str]) -> Any:
    """Read what ``torch.save`` wrote, on the CPU, without running what a pickle asks for.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: cut short, no such file of torch's, it asks for more than tensors and plain
            values, or a weight is NaN or infinite, as of training that diverged.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        if zipfile.is_zipfile(path):
            check_zip(path, TENSORS)
            check_content(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or hostile file can raise nearly any error on the way.
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read as weights ({_reason(error)})") from None
    name = _first_that_is_none(content)
    if name is not None:
        what = "holds values that are NaN or infinite: the training that made it has diverged"
        raise DamagedError(f"{path}: {name} {what}")
    return content


def save_tensors(path: str | os.PathLike[str], content: Any) -> None:
    """Write a file that ``load_tensors`` reads, atomically.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    import torch

    with atomic_write(path) as file, torch_writes(path):
        torch.save(content, file)


@contextmanager
def torch_writes(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise OSError, which names the file, for what torch makes of the file's own error."""
    try:
        yield
    except RuntimeError as error:
        reason = f"cannot be written; is the disk full? ({one_line(error)})"
        raise OSError(f"{path}: {reason}") from error


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a file of ``save_tensors`` is there to its end, where its table of contents is."""
    return os.path.isfile(path) and zipfile.is_zipfile(path)


def _first_that_is_none(content: Any) -> str | None:
    """The name of the first weight with a value that is no finite number."""
    import torch

    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    weights = content.items() if isinstance(content, dict) else ()
    floats = ((n, w) for n, w in weights if torch.is_tensor(w) and w.is_floating_point())
    return next((str(name) for name, w in floats if not torch.isfinite(w).all()), None)


def _reason(error: Exception) -> str:
    """What is wrong, without torch's advice to switch its checks off."""
    text = one_line(error, 150) or type(error).__name__
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked is None:
        foreign = isinstance(error, pickle.UnpicklingError) or "weights_only" in text
        return "it is damaged, or no file of torch.save" if foreign else text
    return f"it asks for {asked[1]}; only tensors and plain values are admitted"
