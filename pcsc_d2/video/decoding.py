"""One pass over the frames of a video file or of a folder of frames.

A dataset's frame numbers mean something only with the rule by which its authors counted:

``coded``
    every coded frame in order, whatever its time stamp. J-HMDB is annotated like this; at the
    constant frame rate its clips would have 3 to 8 frames too many.
``constant_rate``
    the places of the constant frame rate: a coded frame goes where its time stamp says, and a
    place without one repeats the frame before. UCF101 is annotated like this: its encoder left
    unchanged frames out, so that the coded frames are up to 46 fewer than the annotated ones.

Frames are turned as the file says they are to be displayed.

A folder of frames (jpg or png in natural order: frame 10 follows frame 9) is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

DecodingRule = Literal["coded", "constant_rate"]
DECODING_RULES = ("coded", "constant_rate")

_FRAME_SUFFIXES = {".jpg", ".jpeg", ".png"}
# In these a packet is a frame, so frames are counted without decoding. (MPEG-4 has packets that
# say "not coded", VP8 and VP9 have frames that are never shown.)
_PACKET_IS_FRAME = {"h264", "hevc", "mjpeg"}
# A header may promise a frame or two more than there are; a file that was cut off lacks more.
_HEADER_TOLERANCE = 2


class VideoError(ValueError):
    """A video that is missing, empty, cut off or no video; one line that names the file.

    Attributes:
        path: the file or folder.
        reason: what is wrong and what to do.
        decoded: how many frames could be read before the trouble.
    """

    def __init__(self, path: str | Path, reason: str, decoded: int = 0) -> None:
        super().__init__(str(path), reason, decoded)
        self.path, self.reason, self.decoded = str(path), reason, decoded

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class FrameReader(Protocol):
    """One pass over a video. Walking yields handles; ``pixels`` makes one an RGB frame.

    Attributes:
        size: height and width.
        rate: frames per second.
        sequential: whether walking past a frame already costs decoding it.
    """

    size: tuple[int, int]
    rate: float
    sequential: bool

    def __iter__(self) -> Iterator[Any]: ...

    def pixels(self, handle: Any) -> np.ndarray:
        """The (H, W, 3) uint8 RGB frame of a handle."""
        ...

    def count(self) -> int:
        """The number of frames, decoding as little as possible; ends the pass."""
        ...

    def close(self) -> None: ...


def open_reader(path: str | Path, rule: str) -> FrameReader:
    """Opens a video file or a folder of frames for one pass.

    Raises:
        VideoError: nothing there, or it cannot be opened as a video.
        ValueError: an unknown rule.
    """
    if rule not in DECODING_RULES:
        raise ValueError(f"unknown decoding rule '{rule}'; expected one of {DECODING_RULES}")
    path = Path(path)
    if path.is_dir():
        return FolderReader(path)
    if not path.is_file():
        raise VideoError(path, "no such video; check the dataset root")
    return FileReader(path, rule)


class FolderReader:
    """A folder of frames; a handle is the path of an image."""

    sequential = False
    rate = 25.0

    def __init__(self, path: Path) -> None:
        self.path = path
        frames = [p for p in path.iterdir() if p.suffix.lower() in _FRAME_SUFFIXES]
        if not frames:
            raise VideoError(path, "the folder holds no frames (jpg or png)")
        self.frames = sorted(frames, key=_natural_order)
        self.size = _read_image(self.frames[0]).shape[:2]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.frames)

    def pixels(self, handle: Path) -> np.ndarray:
        image = _read_image(handle)
        if image.shape[:2] != self.size:
            raise VideoError(handle, "is of another size than the folder's first frame")
        return image

    def count(self) -> int:
        return len(self.frames)

    def close(self) -> None:
        pass


class FileReader:
    """A video file; a handle is a decoded frame, still as the codec stores it.

    Walking yields every frame that decodes, then raises VideoError if the file ends early.
    """

    sequential = True

    def __init__(self, path: Path, rule: str) -> None:
        if path.stat().st_size == 0:
            raise VideoError(path, "the file is empty (0 bytes); fetch it again")
        self.path, self.rule = path, rule
        try:
            self.container = av.open(str(path), metadata_errors="ignore")
        except (av.FFmpegError, EOFError) as error:
            reason = f"cannot be opened as a video ({_why(error)}); fetch it again"
            raise VideoError(path, reason) from None
        if not self.container.streams.video:
            raise VideoError(path, "holds no video stream; fetch it again")
        self.stream = self.container.streams.video[0]
        self._coded_size = (self.stream.height, self.stream.width)
        self._step, self.rate = self._frame_duration()
        # Threads would not survive the fork of a data loader, whose workers share the cores.
        self.stream.thread_type, self.stream.codec_context.thread_count = "NONE", 1
        self._reformatter = VideoReformatter()
        self._packets = self._places = self._decoded = 0

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed."""
        # AVI has no place for a rotation. Elsewhere it is known with the first frame.
        turned = "avi" not in self.container.format.name and _quarter_turns(self._first_frame()) % 2
        return self._coded_size[::-1] if turned else self._coded_size

    def _first_frame(self) -> av.VideoFrame | None:
        try:
            with av.open(str(self.path), metadata_errors="ignore") as container:
                return next(container.decode(video=0), None)
        except (av.FFmpegError, EOFError):
            return None

    def _frame_duration(self) -> tuple[float, float]:
        """A frame's duration in units of the stream's time stamps, and frames per second."""
        # Not the average rate, which is lower where frames were left out.
        rate = self.stream.guessed_rate or self.stream.average_rate
        if not rate or not self.stream.time_base:
            raise VideoError(self.path, "has no frame rate, or is cut off before its first frame")
        return float(1 / (rate * self.stream.time_base)), float(rate)

    def __iter__(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._placed() if self.rule == "constant_rate" else self._coded()
        finally:
            self.close()
        self._check_complete()

    def count(self) -> int:
        known = self.stream.codec_context.codec.canonical_name in _PACKET_IS_FRAME
        if self.rule == "coded" and not known:
            return sum(1 for _ in self)
        for _ in self._demux():
            self._decoded = self._packets
        self.close()
        self._check_complete()
        return self._places if self.rule == "constant_rate" else self._packets

    def pixels(self, handle: av.VideoFrame) -> np.ndarray:
        # A reformatter of our own: `VideoFrame.to_ndarray` sets one up for every frame, which
        # takes ten times as long as the conversion.
        pixels = self._reformatter.reformat(handle, format="rgb24", threads=1).to_ndarray()
        turns = _quarter_turns(handle)
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    def close(self) -> None:
        self.container.close()

    def _demux(self) -> Iterator[av.Packet]:
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt:
                    raise self._broken("the data ends early")
                if packet.size:
                    self._packets += 1
                    self._places = max(self._places, self._place(packet, self._places) + 1)
                yield packet
        except (av.FFmpegError, EOFError) as error:
            raise self._broken(_why(error)) from None

    def _coded(self) -> Iterator[av.VideoFrame]:
        for packet in self._demux():
            try:
                frames = packet.decode()
            except (av.FFmpegError, EOFError) as error:
                raise self._broken(_why(error)) from None
            for frame in frames:
                if (frame.height, frame.width) != self._coded_size:
                    raise self._broken("the size changes there")
                self._decoded += 1
                yield frame

    def _placed(self) -> Iterator[av.VideoFrame]:
        place, held = 0, None
        for frame in self._coded():
            target = self._place(frame, place)
            for _ in range(place, target):
                yield held or frame
            held = frame
            if target >= place:
                yield frame
                place = target + 1
        for _ in range(place, self._places if held else 0):
            yield held

    def _place(self, timed: av.Packet | av.VideoFrame, default: int) -> int:
        stamp = timed.pts if timed.pts is not None else timed.dts
        if stamp is None:
            return default
        return round((stamp - (self.stream.start_time or 0)) / self._step)

    def _check_complete(self) -> None:
        if not self._decoded:
            raise VideoError(self.path, "not one frame decodes; fetch it again")
        found = max(self._packets, self._places)
        if self.stream.frames - found > _HEADER_TOLERANCE:
            reason = f"is cut off: {found} frames of {self.stream.frames}; fetch it again"
            raise VideoError(self.path, reason, self._decoded)

    def _broken(self, why: str) -> VideoError:
        reason = f"cannot be decoded after frame {self._decoded} ({why}); fetch it again"
        return VideoError(self.path, reason, self._decoded)


def _quarter_turns(frame: av.VideoFrame | None) -> int:
    """Quarter turns counterclockwise that display a frame upright: phones record them."""
    return 0 if frame is None else round(frame.rotation / 90) % 4


def _natural_order(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(path, "the frame cannot be read; extract it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
