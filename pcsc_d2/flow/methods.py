"""Optical flow methods by name, and what flipping and resizing do to a flow field.

A field is (H, W, 2) float32: u to the right and v downwards, in pixels, from frame i to i + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from pcsc_d2.flow.errors import FlowError

_SMALLEST = 12  # pixels, below which OpenCV's DIS refuses


class FlowMethod(Protocol):
    """How flow is computed.

    Attributes:
        name: under which it is registered, and the name of its folder in a flow cache.
        version: changes whenever its result does, so that stored flow is not taken for new; None
            where it cannot be known and any is read.
        in_process: whether it shares its work among threads or a GPU by itself, and must not run
            in several processes.
    """

    name: str
    version: str | None
    in_process: bool

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """N frames (H, W, 3) uint8 RGB to N - 1 fields (H, W, 2) float32, in pixels."""
        ...


@dataclass(frozen=True)
class DISFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's.

    At 240 x 320 on one core a field takes about 8 ms with the medium preset and 1.5 ms with the
    fast one, whose photometric error is a third higher on UCF101 and J-HMDB clips
    (``tests/benchmarks/flow.py``).
    """

    name: str
    preset: int
    version: str = "1"

    in_process = False

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        dis = cv2.DISOpticalFlow_create(self.preset)
        before = None
        for frame in frames:
            gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            if min(gray.shape) < _SMALLEST:
                size = f"{gray.shape[0]} x {gray.shape[1]}"
                raise FlowError(f"frames of {size} pixels are too small for DIS ({_SMALLEST})")
            if before is not None:
                yield dis.calc(before, gray, None)
            before = gray


class NoFlow:
    """Zeros, for models both of whose streams see RGB."""

    name, version, in_process = "none", "1", True

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        sizes = (frame.shape[:2] for frame in frames)
        next(sizes, None)
        for height, width in sizes:
            yield np.zeros((height, width, 2), np.float32)


def _raft(name: str, weights: str, device: str) -> FlowMethod:
    from pcsc_d2.flow.raft import RAFTFlow  # PyTorch is imported for RAFT alone

    return RAFTFlow(name, weights, device)


FLOW_METHODS: dict[str, Callable[[str, str], FlowMethod]] = {
    "dis": lambda weights, device: DISFlow("dis", cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "dis_fast": lambda weights, device: DISFlow("dis_fast", cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "raft_large": lambda weights, device: _raft("raft_large", weights, device),
    "raft_small": lambda weights, device: _raft("raft_small", weights, device),
    "none": lambda weights, device: NoFlow(),
}
"""Name -> what makes the method, from a weights file and a device, which only networks have."""


def flow_method(name: str, weights: str = "", device: str = "auto") -> FlowMethod:
    """The method of a name, see ``FLOW_METHODS``; ValueError lists the names there are."""
    if name not in FLOW_METHODS:
        raise ValueError(f"unknown flow method '{name}'; there are {sorted(FLOW_METHODS)}")
    return FLOW_METHODS[name](weights, device)


def compute_flow(frames: Iterable[np.ndarray], method: str | FlowMethod = "dis") -> np.ndarray:
    """The flow of consecutive frames.

    Args:
        frames: N >= 2 frames (H, W, 3) uint8, RGB.
        method: a name or a method.

    Returns:
        (N-1, H, W, 2) float32, u and v in pixels.

    Raises:
        ValueError: an unknown method, or fewer than two frames.
    """
    run = flow_method(method) if isinstance(method, str) else method
    fields = list(run(frames))
    if not fields:
        raise ValueError("flow needs at least two frames")
    return np.stack(fields)


def flip_flow(flow: np.ndarray) -> np.ndarray:
    """Mirror (..., H, W, 2) flow left to right: the places are mirrored and u changes its sign."""
    return np.ascontiguousarray(flow[..., ::-1, :]) * np.array([-1, 1], dtype=flow.dtype)


def resize_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (..., H, W, 2) flow to ``size`` (height, width); u and v grow with the image."""
    height, width = flow.shape[-3:-1]
    fields = flow.reshape(-1, height, width, 2)
    resized = np.empty((len(fields), *size, 2), dtype=np.float32)
    for target, field in zip(resized, fields):
        target[...] = cv2.resize(field, size[::-1], interpolation=cv2.INTER_LINEAR)
    resized *= np.array([size[1] / width, size[0] / height], dtype=np.float32)
    return resized.reshape(*flow.shape[:-3], *size, 2)
