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

A folder of frames (jpg or png) is read by the numbers in their names, see ``frame_folder``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.frame_folder import FolderReader
from pcsc_d2.video.key_frames import KeyFrames, PacketOrder, scan, stamp_of
from pcsc_d2.video.opening import VideoUrl, open_container, video_stream, why

DecodingRule = Literal["coded", "constant_rate"]
DECODING_RULES = ("coded", "constant_rate")

# In these a packet is a frame, so frames are counted without decoding. (MPEG-4 has packets that
# say "not coded", VP8 and VP9 have frames that are never shown.)
_PACKET_IS_FRAME = {"h264", "hevc", "mjpeg"}
# A header may promise a frame or two more than there are; a file that was cut off lacks more.
_HEADER_TOLERANCE = 2
# The share of packets that damage may swallow; of interlaced video each may be half a frame.
_MOST_SWALLOWED = 0.25
# Frames ahead that are reached sooner by decoding than by seeking.
_NEAR = 4
# Places of the constant frame rate that there may be for each coded frame, and besides. A few
# false time stamps would make millions of frames out of a small file.
_MOST_PLACES, _PLACES_BESIDES = 100, 10_000


class FrameReader(Protocol):
    """One pass over a video. Walking yields handles; ``pixels`` makes one an RGB frame.

    Attributes:
        size: height and width.
        rate: frames per second.
    """

    size: tuple[int, int]
    rate: float

    def __iter__(self) -> Iterator[Any]: ...

    def pixels(self, handle: Any) -> np.ndarray:
        """The (H, W, 3) uint8 RGB frame of a handle."""
        ...

    def walk_from(self, index: int, here: int | None) -> tuple[int, Iterator[Any]] | None:
        """A new walk that reaches a frame sooner than going on with the present one.

        Args:
            index: 0-based, the frame to be reached.
            here: the frame that comes next in the present walk; None where there is none.

        Returns:
            The number of its first frame, at most ``index``, and the handles from there on; the
            present walk must not be used any more. None: go on with that.
        """
        ...

    def count(self) -> int:
        """The number of frames, decoding as little as possible; ends the pass."""
        ...

    def close(self) -> None: ...


def open_reader(
    path: str | Path | VideoUrl, rule: str, keys: KeyFrames | None = None
) -> FrameReader:
    """Open a video file or a folder of frames for one pass.

    Args:
        path: the file or folder; an address only as the type that says that it is allowed.
        rule: how frames are counted.
        keys: what readers of this file by this rule learn about its key frames.

    Raises:
        VideoError: nothing there, or it cannot be opened as a video.
        ValueError: an unknown rule.
    """
    if rule not in DECODING_RULES:
        raise ValueError(f"unknown decoding rule '{rule}'; expected one of {DECODING_RULES}")
    if isinstance(path, VideoUrl):
        return FileReader(path, rule, keys)
    path = Path(path)
    if path.is_dir():
        return FolderReader(path)
    if not path.is_file():
        raise VideoError(path, "no such video file or folder of frames")
    return FileReader(path, rule, keys)


class FileReader:
    """A video file; a handle is a decoded frame, still as the codec stores it.

    Walking yields every frame that decodes, then raises VideoError if the file ends early.
    ``walk_from`` begins at a key frame whose number is certain: by the constant rate its time
    stamp says it; of coded frames it is the rank of the stamp where every packet is a frame, and
    else what earlier walks have counted. Where a file does not do as its index says, the walk
    begins at its start.
    """

    def __init__(self, path: Path | VideoUrl, rule: str, keys: KeyFrames | None = None) -> None:
        self.path, self.rule = path, rule
        self._keys = KeyFrames() if keys is None else keys
        self._reformatter = VideoReformatter()
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path)
        self.stream = video_stream(self.path, self.container)
        self._coded_size = (self.stream.height, self.stream.width)
        self._step, self.rate = self._frame_duration()
        # Threads would not survive the fork of a data loader, whose workers share the cores.
        self.stream.thread_type, self.stream.codec_context.thread_count = "NONE", 1
        self._packets = self._places = self._decoded = 0
        self._damage = ""
        self._promised = self._frames_by_length()
        self._is_open = self._from_start = True

    def _frames_by_length(self) -> int:
        """The number of frames by the length that Matroska's header tells, 0 where it does not."""
        told = "matroska" in self.container.format.name and len(self.container.streams) == 1
        # The length counts from time 0, where a clip that was cut out of another does not begin.
        length = (self.container.duration or 0) - max(self.container.start_time or 0, 0)
        # As many as that at the constant rate: coded ones may be fewer, see `_places`.
        return round(max(length, 0) / av.time_base * self.rate) if told else 0

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed."""
        # AVI has no place for a rotation. Elsewhere it is known with the first frame.
        turned = "avi" not in self.container.format.name and _quarter_turns(self._first_frame()) % 2
        return self._coded_size[::-1] if turned else self._coded_size

    def _first_frame(self) -> av.VideoFrame | None:
        try:
            with open_container(self.path) as container:
                return next(container.decode(video_stream(self.path, container)), None)
        except (av.FFmpegError, EOFError, VideoError):
            return None

    def _frame_duration(self) -> tuple[float, float]:
        """A frame's duration in units of the stream's time stamps, and frames per second."""
        # Not the average rate, which is lower where frames were left out.
        rate = self.stream.guessed_rate or self.stream.average_rate
        if not rate or not self.stream.time_base:
            raise VideoError(self.path, "has no frame rate, or is cut off before its first frame")
        return float(1 / (rate * self.stream.time_base)), float(rate)

    def __iter__(self) -> Iterator[av.VideoFrame]:
        return self._walk(self._decode(), 0)

    def _walk(self, frames: Iterator[av.VideoFrame], first: int) -> Iterator[av.VideoFrame]:
        # No `finally`: a walk that is dropped must not close the file of the one that follows.
        try:
            numbered = self._placed if self.rule == "constant_rate" else self._counted
            yield from numbered(frames, first)
        except VideoError:
            self.close()
            raise
        self.close()
        if self._from_start:
            self._check_complete()

    def walk_from(self, index: int, here: int | None) -> tuple[int, Iterator[av.VideoFrame]] | None:
        if here is not None and 0 <= index - here <= _NEAR:
            return None
        if not self._is_open:
            self._open()
        if not self._keys.scanned:
            here = self._scan(here)
        key = self._keys.before(index)
        if here is not None and here <= index and (key is None or key[0] <= here):
            return None
        walk = None if key is None else self._walk_from_key(*key)
        if walk is not None:
            return key[0], walk
        self.close()
        self._open()
        return 0, iter(self)

    def _scan(self, here: int | None) -> int | None:
        """Look for key frames once; ``here``, or None if that ended the present walk."""
        self._keys.scanned = True
        if self.rule == "coded" and not self._packet_is_frame():
            return here
        if self._packets:
            self.close()
            self._open()
        scan(self.container, self.stream, self._keys, self._number)
        return None

    def _walk_from_key(self, index: int, stamp: int) -> Iterator[av.VideoFrame] | None:
        """None where the file has no such key frame at that time stamp after all."""
        self._from_start = False
        self._packets = self._places = self._decoded = index
        try:
            self.container.seek(stamp, stream=self.stream)
            frames = self._decode()
            # Frames shown before the key frame may be coded after it, and lack what they need.
            first = next((f for f in frames if (stamp_of(f) or 0) >= stamp), None)
        except (av.FFmpegError, EOFError, VideoError):
            return None
        if first is None or stamp_of(first) != stamp or not first.key_frame:
            return None
        self._decoded = index + 1
        return self._walk(itertools.chain([first], frames), index)

    def count(self) -> int:
        if self.rule == "coded" and not self._packet_is_frame():
            return sum(1 for _ in self)
        order = PacketOrder()
        for packet in self._demux():
            order.add(packet)
            self._decoded = self._packets
        if not order.all_are_shown:
            self.close()
            self._open()
            return sum(1 for _ in self)
        self.close()
        self._check_complete()
        return self._places if self.rule == "constant_rate" else self._packets

    def _packet_is_frame(self) -> bool:
        return self.stream.codec_context.codec.canonical_name in _PACKET_IS_FRAME

    def _number(self, rank: int, stamp: int) -> int:
        return rank if self.rule == "coded" else self._place(stamp)

    def pixels(self, handle: av.VideoFrame) -> np.ndarray:
        # A reformatter of our own: `VideoFrame.to_ndarray` sets one up for every frame, which
        # takes ten times as long as the conversion.
        pixels = self._reformatter.reformat(handle, format="rgb24", threads=1).to_ndarray()
        turns = _quarter_turns(handle)
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    def close(self) -> None:
        self._is_open = False
        self.container.close()

    def _demux(self) -> Iterator[av.Packet]:
        """Every packet; VideoError after the last one where the data ends within it."""
        held = None
        try:
            for packet in self.container.demux(self.stream):
                # Damaged data goes on behind it, unless it is the end that is missing.
                if held is not None and packet.size:
                    self._note("data is damaged or missing there")
                    yield self._noted(held)
                    held = None
                if packet.is_corrupt and packet.size:
                    held = packet
                    continue
                yield self._noted(packet)
        except (av.FFmpegError, EOFError) as error:
            raise self._broken(why(error)) from None
        if held is not None:
            raise self._broken("the data ends early")

    def _noted(self, packet: av.Packet) -> av.Packet:
        if packet.size:
            self._packets += 1
            if not packet.is_discard:
                self._places = max(self._places, self._place_of(packet, self._places) + 1)
            if self.rule == "constant_rate":
                self._check_places()
        return packet

    def _check_places(self) -> None:
        if self._places > _MOST_PLACES * self._packets + _PLACES_BESIDES:
            reason = (
                f"its time stamps make {self._places:,} frames of its first {self._packets:,}; "
                "they are wrong, encode it again"
            )
            raise VideoError(self.path, reason, self._decoded)

    def _decode(self) -> Iterator[av.VideoFrame]:
        before, order = None, PacketOrder()
        for packet in self._demux():
            order.add(packet)
            try:
                frames = packet.decode()
            except (av.FFmpegError, EOFError) as error:
                self._note(why(error))
                # In its place the frame before, so that those behind keep their numbers.
                frames = [before] if before is not None and packet.size else []
            for frame in frames:
                if (frame.height, frame.width) != self._coded_size:
                    raise self._broken("the size changes there")
                self._decoded += 1
                before = frame
                yield frame
        if before is not None and order.all_are_shown:
            yield from self._swallowed(before)

    def _swallowed(self, last: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """As many repeats of the last frame as packets gave none without an error, which damage
        does: the number of frames is that of the packets, by which they are counted."""
        if not (self.rule == "coded" and self._from_start and self._packet_is_frame()):
            return
        missing = self._packets - self._decoded
        if 0 < missing <= self._packets * _MOST_SWALLOWED:
            self._note(f"{missing} of {self._packets} frames are missing")
            for _ in range(missing):
                self._decoded += 1
                yield last

    def _note(self, what: str) -> None:
        """Remember the first damage, which is told when all that decodes has been given."""
        if not self._damage and self._decoded:
            self._damage = f"is damaged after frame {self._decoded} ({what})"

    def _counted(self, frames: Iterable[av.VideoFrame], index: int) -> Iterator[av.VideoFrame]:
        for number, frame in enumerate(frames, start=index):
            if frame.key_frame and stamp_of(frame) is not None:
                self._keys.add(number, stamp_of(frame))
            yield frame

    def _placed(self, frames: Iterable[av.VideoFrame], place: int) -> Iterator[av.VideoFrame]:
        held = None
        for frame in frames:
            target = self._place_of(frame, place)
            for _ in range(place, target):
                yield held or frame
            held = frame
            if target >= place:
                yield frame
                place = target + 1
        for _ in range(place, self._places if held else 0):
            yield held

    def _place_of(self, timed: av.Packet | av.VideoFrame, default: int) -> int:
        stamp = stamp_of(timed)
        return default if stamp is None else self._place(stamp)

    def _place(self, stamp: int) -> int:
        return round((stamp - (self.stream.start_time or 0)) / self._step)

    def _check_complete(self) -> None:
        if not self._decoded:
            raise VideoError(self.path, "not one frame decodes; fetch it again")
        found = max(self._packets, self._places)
        promised = self.stream.frames or self._promised
        if promised - found > _HEADER_TOLERANCE:
            reason = f"is cut off: {found} frames of {promised}; fetch it again"
            raise VideoError(self.path, reason, self._decoded)
        if self._damage:
            reason = f"{self._damage}; what decodes behind it is used; fetch it again"
            raise VideoError(self.path, reason, self._decoded)

    def _broken(self, why: str) -> VideoError:
        reason = f"cannot be decoded after frame {self._decoded} ({why}); fetch it again"
        return VideoError(self.path, reason, self._decoded)


def _quarter_turns(frame: av.VideoFrame | None) -> int:
    """Quarter turns counterclockwise that display a frame upright: phones record them."""
    return 0 if frame is None else round(frame.rotation / 90) % 4
