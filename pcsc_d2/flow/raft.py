"""RAFT (Teed and Deng, ECCV 2020), torchvision's, as a flow method.

PyTorch is imported when a field is asked for and not before, so that the package needs it for
nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pcsc_d2.flow.errors import FlowError
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.weights import load_tensors

if TYPE_CHECKING:
    import torch

# The feature maps, an eighth of the image, go through four levels of correlation.
_MULTIPLE, _SMALLEST = 8, 128
_MOST_PAIRS = 16
# Bytes that the correlation of all places with all places takes: of a batch, and of one pair.
_BATCH_BYTES, _LARGEST_BYTES = 1 << 29, 1 << 33


@dataclass(frozen=True)
class RAFTFlow:
    """RAFT by torchvision, many pairs of frames at once.

    Attributes:
        name: ``raft_large`` or ``raft_small``.
        weights: a state_dict saved with torch.save, as torchvision publishes it; empty for
            torchvision's default weights from its hub.
        device: of PyTorch; "auto" is the GPU where there is one.
        updates: steps of refinement.
    """

    name: str
    weights: str = ""
    device: str = "auto"
    updates: int = 12

    in_process = True

    @property
    def version(self) -> str:
        """Changes with the weights and the steps: files of torchvision have their hash in the name.

        Raises:
            ValueError: the weights file is not there.
        """
        digest = _digest(self.weights) if self.weights else _hub_digest(self.name)
        return f"1, weights {digest}, {self.updates} updates"

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """N frames (H, W, 3) uint8 RGB to N - 1 fields (H, W, 2) float32, in pixels.

        Raises:
            ValueError: weights that cannot be had or do not fit; a GPU in a forked process.
            FlowError: frames too large.
        """
        batch: list[np.ndarray] = []
        for frame in frames:
            batch.append(frame)
            if len(batch) > _pairs_at_once(frame.shape[:2]):
                yield from self._fields(batch)
                batch = batch[-1:]
        if len(batch) > 1:
            yield from self._fields(batch)

    def _fields(self, frames: list[np.ndarray]) -> Iterator[np.ndarray]:
        import torch
        from torch.nn import functional as F

        device = _device(self.device)
        network = _network(self.name, self.weights, str(device))
        pixels = torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2)
        left, right, top, bottom = padding = _padding(pixels.shape[-2:])
        images = F.pad(pixels.float() / 127.5 - 1, padding, mode="replicate")
        with torch.inference_mode():
            flow = network(images[:-1], images[1:], num_flow_updates=self.updates)[-1]
        height, width = images.shape[-2:]
        inside = flow[:, :, top : height - bottom, left : width - right]
        yield from inside.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _padding(size: Iterable[int]) -> tuple[int, int, int, int]:
    """What to add left, right, top and bottom, for a size that the network takes."""
    sides: list[int] = []
    for length in reversed(tuple(size)):
        extra = max(-(-length // _MULTIPLE) * _MULTIPLE, _SMALLEST) - length
        sides += [extra // 2, extra - extra // 2]
    return tuple(sides)


def _pairs_at_once(size: tuple[int, int]) -> int:
    left, right, top, bottom = _padding(size)
    places = (size[0] + top + bottom) * (size[1] + left + right) // _MULTIPLE**2
    needed = 4 * places**2
    if needed > _LARGEST_BYTES:
        raise FlowError(
            f"frames of {size[0]} x {size[1]} pixels are too large for RAFT ({needed >> 30} GiB "
            "for one pair); take dis, or smaller frames"
        )
    return min(_MOST_PAIRS, max(1, _BATCH_BYTES // needed))


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and torch.utils.data.get_worker_info() is not None:
        raise ValueError(
            "RAFT cannot run on the GPU in a loading process; keep the flow on disk "
            "(INPUT.FLOW.CACHE), or load in the main process (DATALOADER.NUM_WORKERS 0)"
        )
    return device


@functools.lru_cache(maxsize=1)
def _network(name: str, weights: str, device: str) -> torch.nn.Module:
    from torchvision.models import optical_flow

    network = getattr(optical_flow, name)(weights=None)
    state = _from_file(weights) if weights else _from_hub(name)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[-1].strip()[:200]
        raise ValueError(
            f"{weights or name}: not the weights of torchvision's {name} ({first})"
        ) from None
    return network.eval().requires_grad_(False).to(device)


def _from_file(path: str) -> Any:
    try:
        return load_tensors(path)
    except FileNotFoundError:
        raise _absent(path) from None


def _from_hub(name: str) -> Any:
    weights = _hub_weights(name)
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{name}: its weights cannot be fetched from {weights.url} ({one_line(error)}); "
            "fetch them elsewhere and name the file (INPUT.FLOW.WEIGHTS)"
        ) from None


def _hub_weights(name: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name).DEFAULT


def _hub_digest(name: str) -> str:
    """The first eight digits of the file's SHA-256, from its name."""
    return re.search(r"-([0-9a-f]{8})\.", _hub_weights(name).url).group(1)


@functools.lru_cache(maxsize=8)
def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
    except OSError:
        raise _absent(path) from None


def _absent(path: str) -> ValueError:
    return ValueError(f"{path}: no such file of RAFT weights (INPUT.FLOW.WEIGHTS)")
