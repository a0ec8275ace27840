"""The frames of a video, all in order or some by index, each decoded once.

Frame indices are 0-based here; annotation files count from 1. ``decoding`` explains the rules.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.video.decoding import DecodingRule, FrameReader, open_reader
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.key_frames import KeyFrames
from pcsc_d2.video.open_files import OpenFiles

# Videos that a cache keeps open, each in the middle of its pass.
_OPEN_FILES = 16
# Videos whose key frames a cache remembers, some KB each.
_KNOWN_FILES = 10_000


class VideoSource:
    """A video file or a folder of frames.

    Iterating yields (H, W, 3) uint8 RGB frames, each decoded once; a place of the constant frame
    rate that repeats a frame yields the same array again. Of a video that is cut off, every frame
    that decodes is yielded before the VideoError. (``list(source)`` asks for the length first.)

    Args:
        path: the file or folder.
        rule: how frames are counted, "coded" or "constant_rate".

    Raises:
        VideoError: nothing there, or it cannot be opened as a video.
    """

    def __init__(self, path: str | os.PathLike[str], rule: DecodingRule = "coded") -> None:
        self.path, self.rule = Path(path), rule
        reader = open_reader(self.path, rule)
        self.size: tuple[int, int] = reader.size
        self.rate: float = reader.rate
        reader.close()

    @cached_property
    def _count(self) -> int:
        return open_reader(self.path, self.rule).count()

    def __len__(self) -> int:
        """The number of frames; raises VideoError for a video that is cut off."""
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        reader = open_reader(self.path, self.rule)
        held, frame = None, None
        for handle in reader:
            if handle is not held:
                held, frame = handle, reader.pixels(handle)
            yield frame


class ByteLRU:
    """Arrays by key, the least recently used dropped beyond a number of bytes; threads share it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._lock = threading.Lock()
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrays)

    def __getstate__(self) -> dict[str, int]:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["max_bytes"])

    def get(self, key: Hashable) -> np.ndarray | None:
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array; its owner must not change it any more."""
        with self._lock:
            old = self._arrays.pop(key, None)
            self.bytes += array.nbytes - (0 if old is None else old.nbytes)
            self._arrays[key] = array
            while self.bytes > self.max_bytes:
                self.bytes -= self._arrays.popitem(last=False)[1].nbytes


class FrameCache:
    """Decoded frames of several videos within a number of bytes.

    Clips of one video that follow one another decode each frame once: a file stays open where its
    last clip ended. Others begin at the key frame before them. Threads share a cache, of which
    one at a time decodes a video; every process has its own.

    Args:
        max_bytes: for the frames; 1 GiB holds 4,660 frames of 240 x 320.
    """

    def __init__(self, max_bytes: int = 1 << 29) -> None:
        self.max_bytes = max_bytes
        self._frames = ByteLRU(max_bytes)
        self._passes: OpenFiles[_Pass] = OpenFiles(_OPEN_FILES)
        self._keys: OpenFiles[KeyFrames] = OpenFiles(_KNOWN_FILES)

    def __getstate__(self) -> dict[str, int]:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["max_bytes"])

    def read(
        self, path: str | os.PathLike[str], indices: Sequence[int] | np.ndarray, rule: DecodingRule
    ) -> list[np.ndarray]:
        """Like ``read_frames``, but a list of frames: they are the cache's, not to be changed."""
        key = (os.fspath(path), rule)
        found = {i: self._frames.get((key, i)) for i in map(int, indices)}
        if any(frame is None for frame in found.values()):
            running = self._passes.get(key, lambda: _Pass(*key, self._keys.get(key, KeyFrames)))
            with running.lock:
                self._decode(key, running, found)
        return [found[int(i)] for i in indices]

    def _decode(
        self,
        key: tuple[str, DecodingRule],
        running: _Pass,
        found: dict[int, np.ndarray | None],
    ) -> None:
        """Fill in frames that are None, which another thread may have decoded meanwhile."""
        missing = [i for i in sorted(found) if found[i] is None]
        found |= {i: self._frames.get((key, i)) for i in missing}
        try:
            for index, frame in running.read([i for i in missing if found[i] is None]):
                self._frames.put((key, index), frame)
                found[index] = frame
        except VideoError:
            self._passes.drop(key)  # so that the next call tells the same
            raise


class _Pass:
    """A pass over a video that stops, goes on and jumps."""

    def __init__(self, path: str, rule: DecodingRule, keys: KeyFrames | None = None) -> None:
        self.path, self.next, self.lock = path, 0, threading.Lock()
        self.reader: FrameReader = open_reader(path, rule, keys)
        self._handles: Iterator[Any] = iter(self.reader)

    def read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Some frames with their indices, which are sorted; no others are made pixels of.

        Raises:
            VideoError: the video ends before, or cannot be decoded.
        """
        shown, frame = None, None
        for index in wanted:
            self._approach(index)
            while self.next <= index:
                handle = self._step(wanted[-1])
            # A place of the constant frame rate that repeats a frame is the same array again.
            if handle is not shown:
                shown, frame = handle, self.reader.pixels(handle)
            yield index, frame

    def _approach(self, index: int) -> None:
        walk = self.reader.walk_from(index, self.next)
        if walk is not None:
            self.next, self._handles = walk

    def _step(self, last: int) -> Any:
        try:
            handle = next(self._handles)
        except StopIteration:
            raise _beyond(self.path, self.next, last) from None
        self.next += 1
        return handle


def read_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int] | np.ndarray,
    rule: DecodingRule = "coded",
    cache: FrameCache | None = None,
) -> np.ndarray:
    """Some frames of a video.

    Args:
        path: a video file or a folder of frames.
        indices: (T,) 0-based, in any order, repeats allowed.
        rule: how frames are counted, "coded" or "constant_rate".
        cache: keeps decoded frames for the next call.

    Returns:
        (T, H, W, 3) uint8, RGB.

    Raises:
        VideoError: the video is missing or no video, or a frame asked for cannot be decoded or
            is beyond the end. A video that is cut off still gives the frames before that.
        ValueError: no indices, or a negative one.
    """
    if len(indices) == 0 or min(indices) < 0:
        raise ValueError(f"{path}: frame indices must be 0 or more, at least one of them")
    if cache is not None:
        return np.stack(cache.read(path, indices, rule))
    run = _Pass(os.fspath(path), rule)
    found = dict(run.read(sorted({int(i) for i in indices})))
    run.reader.close()
    return np.stack([found[int(i)] for i in indices])


def _beyond(path: str | os.PathLike[str], count: int, index: int) -> VideoError:
    reason = f"has {count} frames, frame {index + 1} was asked for; check its annotation"
    return VideoError(path, reason, count)
