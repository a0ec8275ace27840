"""Small videos made on the spot; the fixtures are functions that make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

Encode = Callable[..., Path]


def _encode(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    **options: str,
) -> Path:
    return _encode_as(path, frames, codec, times, {}, **options)


def _encode_as(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str,
    times: Sequence[int] | None,
    coding: dict[str, str],
    **options: str,
) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25, options=coding)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = i if times is None else times[i]
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _texture(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = rng.uniform(-0.35, 0.35, (2, 12, 1, 1))
    phases = rng.uniform(0, 2 * np.pi, (12, 1, 1))
    gray = 127 + 25 * np.sin(waves[0] * y + waves[1] * x + phases).sum(0)
    return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="session")
def encode() -> Encode:
    """(path, frames, codec, times, **container options) -> path: a video of 25 frames a second.

    ``times``, in frames, leaves places uncoded.
    """
    return _encode


@pytest.fixture(scope="session")
def encode_as() -> Encode:
    """(path, frames, codec, times, options of the codec) -> path: as ``encode``."""
    return _encode_as


@pytest.fixture(scope="session")
def texture() -> Callable[[int, int, int], np.ndarray]:
    """(seed, height, width) -> a smooth random texture, (height, width, 3) uint8."""
    return _texture


@pytest.fixture(scope="session")
def noise() -> Callable[..., list[np.ndarray]]:
    """(count, size) -> frames that hardly compress, so that a cut falls inside the frames."""

    def make(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return list(rng.integers(0, 256, (count, *size, 3), dtype=np.uint8))

    return make


@pytest.fixture(scope="session")
def gray() -> Callable[..., list[np.ndarray]]:
    """(count, size) -> uniform frames, known again after coding by ``index_of``."""

    def make(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
        return [np.full((*size, 3), 10 + 10 * i, np.uint8) for i in range(count)]

    return make


@pytest.fixture(scope="session")
def index_of() -> Callable[[Sequence[np.ndarray]], list[int]]:
    """Frames of ``gray`` -> their 0-based indices."""
    return lambda frames: [round((float(frame.mean()) - 10) / 10) for frame in frames]


@pytest.fixture
def gray_video(tmp_path: Path, gray: Callable[..., list[np.ndarray]]) -> Path:
    """20 frames of 48 x 64, each known by ``index_of``."""
    return _encode(tmp_path / "gray.mp4", gray(20))
