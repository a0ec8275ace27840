"""A camera in the network: a file's H.264 over real RTSP, for tests.

RFC 2326 as far as a player needs it, with RTP (RFC 3550, RFC 6184) in the same TCP connection.
"""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import av

_CLOCK, _PAYLOAD, _MOST = 90_000, 96, 1_200  # Hz, RTP's number for it, bytes of a packet
_FRAGMENTED = 28  # a NAL unit in pieces, FU-A
_PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


class RtspServer:
    """Plays a file in real time to whoever connects, again and again.

    Args:
        path: of an H.264 file.
        port: 0 takes one that is free.

    Attributes:
        address: for players.
        port: of it.
        players: how many have asked to play.
        sent: to the last player, of each frame its place in the file, from 0, and when, by
            ``time.monotonic``.
    """

    def __init__(self, path: Path, port: int = 0) -> None:
        self._units, self._rate = _access_units(path)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.address = f"rtsp://127.0.0.1:{self.port}/door"
        self._over = threading.Event()
        self._connections: list[socket.socket] = []
        self.players = 0
        self.sent: list[tuple[int, float]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once, as a camera without power does."""
        self._over.set()
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was stopped
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        with suppress(OSError, ValueError):  # one of both went away
            while request := _request(file):
                method, number = request
                head, body = self._reply(method)
                lines = [
                    "RTSP/1.0 200 OK",
                    f"CSeq: {number}",
                    *head,
                    f"Content-Length: {len(body)}",
                ]
                connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
                if method == "PLAY":
                    threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _reply(self, method: str) -> tuple[list[str], str]:
        session = "Session: 1"
        if method == "DESCRIBE":
            return [f"Content-Base: {self.address}/", "Content-Type: application/sdp"], self._sdp()
        if method == "SETUP":
            return ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", session], ""
        return ([f"Public: {_PUBLIC}"] if method == "OPTIONS" else [session]), ""

    def _sdp(self) -> str:
        sets = [u for u in self._units[0][1] if u[0] & 31 in (7, 8)]  # of the sequence and picture
        sprop = ",".join(base64.b64encode(u).decode() for u in sets)
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=door", "t=0 0"),
            f"m=video 0 RTP/AVP {_PAYLOAD}",
            f"a=rtpmap:{_PAYLOAD} H264/{_CLOCK}",
            f"a=fmtp:{_PAYLOAD} packetization-mode=1;sprop-parameter-sets={sprop}",
            *(f"a=framerate:{self._rate}", "a=control:track1"),
        ]
        return "\r\n".join(lines) + "\r\n"

    def _play(self, connection: socket.socket) -> None:
        self.players += 1
        self.sent = sent = []
        began, sequence, length = time.monotonic(), 0, len(self._units)
        with suppress(OSError):
            while True:
                turn = len(sent) // length * length
                for shown, units in self._units:
                    due = began + len(sent) / self._rate
                    if self._over.wait(max(due - time.monotonic(), 0)):
                        return
                    stamp = round((turn + shown) / self._rate * _CLOCK) & 0xFFFFFFFF
                    for payload, last in _payloads(units):
                        packet = _rtp(payload, last, sequence, stamp)
                        connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                        sequence = (sequence + 1) & 0xFFFF
                    sent.append((shown, time.monotonic()))


def _access_units(path: Path) -> tuple[list[tuple[int, list[bytes]]], float]:
    """Of each frame, as they are coded, its place and its NAL units; and frames per second."""
    with av.open(str(path)) as container:
        [stream] = container.streams.video
        to_units, rate = av.BitStreamFilterContext("h264_mp4toannexb", stream), stream.average_rate
        found = []
        for packet in container.demux(stream):
            for each in to_units.filter(packet if packet.size else None):
                data = bytes(each).replace(b"\0\0\0\1", b"\0\0\1")
                units = [unit for unit in data.split(b"\0\0\1") if unit]
                found.append((round(each.pts * each.time_base * rate), units))
        return found, float(rate)


def _payloads(units: list[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The payloads of a frame, and whether it is its last."""
    for unit in units:
        final = unit is units[-1]
        if len(unit) <= _MOST:
            yield unit, final
            continue
        first, rest = unit[0], unit[1:]
        pieces = [rest[i : i + _MOST] for i in range(0, len(rest), _MOST)]
        for i, piece in enumerate(pieces):
            begins, ends = i == 0, i == len(pieces) - 1
            mark = begins << 7 | ends << 6 | first & 31
            yield bytes((first & 0xE0 | _FRAGMENTED, mark)) + piece, final and ends


def _rtp(payload: bytes, last: bool, sequence: int, stamp: int) -> bytes:
    return struct.pack(">BBHII", 0x80, last << 7 | _PAYLOAD, sequence, stamp, 1) + payload


def _request(file: object) -> tuple[str, str] | None:
    """The method and number of the next request; RTCP's packets in between are left out."""
    while (first := file.read(1)) == b"$":
        file.read(struct.unpack(">xH", file.read(3))[0])
    if not first:
        return None
    method = (first + file.readline()).split()[0].decode()
    heads = {}
    while (line := file.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        heads[name.lower()] = value.strip()
    return method, heads.get("cseq", "0")
