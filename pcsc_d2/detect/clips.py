"""Frames -> windows of resized frames and their flow, each frame handled once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.sources import Frame
from pcsc_d2.flow.codec import decode_flow, encode_flow
from pcsc_d2.flow.methods import flow_method, resize_flow
from pcsc_d2.models.info import ModelInfo
from pcsc_d2.video import VideoError

# Pixels of the shorter side beyond which frames are made smaller before their flow is computed.
# The data sets have 240; the flow of a frame of 1080 takes twenty times as long and is then
# resized to the network's size anyway.
FLOW_SIDE = 256


class ResizedFrame(NamedTuple):
    """A frame at the network's size.

    Attributes:
        number, time: of the frame.
        size: height and width of the original.
        rgb: (3, h, w) uint8.
        flow: (2, h, w) float32 pixels, to the next frame; the last frame repeats the one before.
    """

    number: int
    time: float
    size: tuple[int, int]
    rgb: np.ndarray
    flow: np.ndarray


class Window(NamedTuple):
    """Consecutive frames that hold the clips of some key frames.

    Attributes:
        rgb: (3, W, h, w) uint8.
        flow: (2, W, h, w) float32.
        key_frames: 0-based positions in the window.
        numbers, times: of the key frames.
        size: height and width of the original frames.
    """

    rgb: Tensor
    flow: Tensor
    key_frames: list[int]
    numbers: list[int]
    times: list[float]
    size: tuple[int, int]


def network_size(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """Height and width of a frame for the network, as Detectron2's ResizeShortestEdge has them."""
    if min_size <= 0:
        return size
    scale = min_size / min(size)
    if max(size) * scale > max_size:
        # In two steps, as Detectron2 does it: the rounding depends on it.
        scale = scale * (max_size / (max(size) * scale))
    height, width = (int(side * scale + 0.5) for side in size)
    return max(height, 1), max(width, 1)


def resize_frames(
    frames: Iterator[Frame], info: ModelInfo, profile: Profile
) -> Iterator[ResizedFrame]:
    """Frames at the network's size with their flow; the flow of a frame needs the next one.

    Raises:
        VideoError: the size changes.
        FlowError: the frames are too small.
    """
    waiting: deque[Frame] = deque()
    fields = flow_method(info.flow_method)(_shrunk(frames, waiting, info, profile))
    flow = None
    try:
        for field in profile.timed("flow", fields):
            frame = waiting.popleft()
            size = network_size(frame.pixels.shape[:2], info.min_size, info.max_size)
            with profile.part("resize"):
                # Training reads flow that was held in few bits, so the network gets the same here.
                bound = info.flow_bound or None
                field = decode_flow(encode_flow(field, bound), bound)
                flow = np.ascontiguousarray(resize_flow(field, size).transpose(2, 0, 1))
                resized = _resized(frame, size, flow)
            yield resized
        for frame in waiting:
            size = network_size(frame.pixels.shape[:2], info.min_size, info.max_size)
            yield _resized(frame, size, np.zeros((2, *size), np.float32) if flow is None else flow)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()


def _shrunk(
    frames: Iterator[Frame], waiting: deque[Frame], info: ModelInfo, profile: Profile
) -> Iterator[np.ndarray]:
    first = None
    for frame in profile.waiting(frames):
        height, width = frame.pixels.shape[:2]
        first = first or (height, width)
        if (height, width) != first:
            raise VideoError(f"frame {frame.number}", "is of another size than the first")
        waiting.append(frame)
        side = max(FLOW_SIDE, info.min_size)
        smaller = network_size((height, width), side, max(height, width))
        shrink = min(height, width) > side
        yield _resize(frame.pixels, smaller) if shrink else frame.pixels


def _resized(frame: Frame, size: tuple[int, int], flow: np.ndarray) -> ResizedFrame:
    rgb = np.ascontiguousarray(_resize(frame.pixels, size).transpose(2, 0, 1))
    return ResizedFrame(frame.number, frame.time, frame.pixels.shape[:2], rgb, flow)


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As Detectron2 resizes what the network is trained on."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))


def windows(
    frames: Iterator[ResizedFrame], length: int, every: int, count: int
) -> Iterator[Window]:
    """Windows of up to ``count`` key frames: each ``every`` frames, and the last.

    Around a key frame are T // 2 frames before it and T - T // 2 - 1 after; beyond its ends the
    video stands still. Frames are held until no later window needs them.

    Args:
        frames: one after the other.
        length: T.
    """
    # Far apart key frames share no frames: a window of many would be large for nothing.
    count = max(min(count, 1 + 4 * length // every), 1)
    before, after = length // 2, length - length // 2 - 1
    held: deque[ResizedFrame] = deque()
    first = key = total = 0  # index of the first frame held, of the next key frame, frames so far
    for frame in frames:
        held.append(frame)
        total += 1
        if total > key + (count - 1) * every + after:
            yield _window(held, first, [key + i * every for i in range(count)], before, after)
            key += count * every
        # The latest frame may be the last, which is a key frame.
        while first < min(key, total - 1) - before:
            held.popleft()
            first += 1
    keys = list(range(key, total, every))
    if total and (keys[-1] if keys else key - every) != total - 1:
        keys.append(total - 1)
    for i in range(0, len(keys), count):
        yield _window(held, first, keys[i : i + count], before, after)


def _window(
    held: deque[ResizedFrame], first: int, keys: list[int], before: int, after: int
) -> Window:
    indices = range(keys[0] - before, keys[-1] + after + 1)
    chosen = [held[min(max(i - first, 0), len(held) - 1)] for i in indices]
    marked = [held[k - first] for k in keys]
    return Window(
        torch.from_numpy(np.stack([f.rgb for f in chosen], axis=1)),
        torch.from_numpy(np.stack([f.flow for f in chosen], axis=1)),
        [k - keys[0] + before for k in keys],
        [f.number for f in marked],
        [f.time for f in marked],
        held[0].size,
    )
