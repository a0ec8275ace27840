"""Where the decoding of a video file can begin with the number of its frames known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import av


class KeyFrames:
    """The key frames of a file, as far as they are known: their numbers and time stamps.

    Attributes:
        scanned: whether the file has been looked through for them.
    """

    def __init__(self) -> None:
        self.scanned = False
        self._indices: list[int] = []
        self._stamps: list[int] = []

    def add(self, index: int, stamp: int) -> None:
        """Note a key frame; what does not follow the last one is known, or out of order."""
        if not self._indices or (index > self._indices[-1] and stamp > self._stamps[-1]):
            self._indices.append(index)
            self._stamps.append(stamp)

    def before(self, index: int) -> tuple[int, int] | None:
        """Number and time stamp of the last key frame at or before a frame."""
        found = bisect_right(self._indices, index) - 1
        return (self._indices[found], self._stamps[found]) if found >= 0 else None


def stamp_of(timed: av.Packet | av.VideoFrame) -> int | None:
    """When a packet or frame is shown, in units of its stream."""
    return timed.pts if timed.pts is not None else timed.dts


class PacketOrder:
    """Whether every packet is a frame that is shown, which decoding would tell for certain.

    It is not where an edit list discards packets, and where frames lack what they refer to: a
    video that was cut without encoding it anew begins in the middle of a group.
    """

    def __init__(self) -> None:
        self.all_are_shown, self._first = True, None
        self._timed = self._untimed = False

    def add(self, packet: av.Packet) -> None:
        """Take note of the next packet."""
        if not packet.size:
            return
        if self._first is None:
            self._first = packet
            self.all_are_shown = packet.is_keyframe
        self._timed |= packet.pts is not None
        self._untimed |= packet.pts is None
        first = self._first.pts
        early = packet.pts is not None and first is not None and packet.pts < first
        mixed = self._timed and self._untimed
        if packet.is_discard or packet.is_corrupt or early or mixed:
            self.all_are_shown = False


def scan(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    keys: KeyFrames,
    number: Callable[[int, int], int],
) -> None:
    """Find the key frames of a file without decoding.

    Nothing is noted where stamps are missing or repeated, or packets are discarded by an edit
    list: the numbers would be guesses.

    Args:
        container: open; it is read to its end.
        stream: of the video.
        keys: to be filled.
        number: the frame's number from the rank of its stamp among all and the stamp itself.
    """
    found: list[tuple[int, bool]] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                stamp = stamp_of(packet)
                if stamp is None or packet.is_discard or packet.is_corrupt:
                    return
                found.append((stamp, packet.is_keyframe))
    except (av.FFmpegError, EOFError):
        return  # a walk over the frames will say what is wrong
    if len({stamp for stamp, _ in found}) < len(found):
        return
    before = -1
    for rank, (stamp, is_key) in enumerate(sorted(found)):
        index = number(rank, stamp)
        # Two frames in one place: the first is shown, and a walk from the second would show it.
        if is_key and index > before:
            keys.add(index, stamp)
        before = max(before, index)
