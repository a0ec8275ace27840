"""How a video file is opened: as the file that it is, which leads to no other file or address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Disposition

from pcsc_d2.video.errors import VideoError

# Formats that hold their frames themselves. Playlists (HLS, DASH, concat) name further files or
# addresses, which can be anybody's, or never end.
_FORMATS = (
    "mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpegtsraw", "mpeg", "mpegvideo", "asf",
    "flv", "live_flv", "ogg", "gif", "mjpeg", "h264", "hevc", "h263", "m4v", "ivf", "nut", "mxf",
    "dv", "rm", "yuv4mpegpipe", "av1", "obu", "vc1", "wtv", "apng",
)  # fmt: skip
_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}
# Microseconds without an answer after which a server is given up.
_WEB_OPTIONS = {
    **_OPTIONS,
    "protocol_whitelist": "http,https,tcp,tls",
    "rw_timeout": "30000000",
    "user_agent": "pcsc_d2",
}
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"[playlist]", b"v=0")
# Pixels of a frame; three times as many bytes are needed for it.
_MOST_PIXELS = 1 << 27


@dataclass(frozen=True)
class VideoUrl:
    """An address of a video that the user allowed to be opened; what is read is never one."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.address.partition("?")[0].rstrip("/").rpartition("/")[2]


def open_container(path: Path | VideoUrl) -> av.container.InputContainer:
    """Open a video file.

    Raises:
        VideoError: it is empty, no video, or of a format that leads to other files.
    """
    if isinstance(path, VideoUrl):
        return _open_url(path)
    if path.stat().st_size == 0:
        raise VideoError(path, "the file is empty (0 bytes); fetch it again")
    try:
        # "file:", since FFmpeg takes what is before a colon in a name for a protocol.
        name = f"file:{os.fspath(path)}"
        return av.open(name, options=dict(_OPTIONS), metadata_errors="ignore")
    except (av.FFmpegError, EOFError) as error:
        raise VideoError(path, _refusal(path, error)) from None


def _open_url(url: VideoUrl) -> av.container.InputContainer:
    try:
        return av.open(url.address, options=dict(_WEB_OPTIONS), metadata_errors="ignore")
    except (av.FFmpegError, EOFError) as error:
        reason = f"cannot be opened as a video ({why(error)}); is it the address of a video file?"
        raise VideoError(str(url), reason) from None


def _refusal(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(256).lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(_PLAYLISTS):
        return "is a list of other files, no video; name the videos themselves"
    return f"cannot be opened as a video ({why(error)}); fetch it again"


def video_stream(path: Path | VideoUrl, container: av.container.InputContainer) -> av.VideoStream:
    """The first stream of moving pictures, not a cover; VideoError where there is none."""
    streams = container.streams.video
    moving = [s for s in streams if not s.disposition & Disposition.attached_pic]
    if not moving:
        what = "only a cover picture" if streams else "no video stream"
        raise VideoError(path, f"holds {what}; fetch it again")
    stream = moving[0]
    if stream.codec_context is None:
        raise VideoError(path, "is of a codec that is not known, or damaged; encode it again")
    if stream.height * stream.width > _MOST_PIXELS:
        size = f"{stream.width} x {stream.height}"
        raise VideoError(path, f"has frames of {size} pixels, more than {_MOST_PIXELS:,}; refused")
    return stream


def why(error: Exception) -> str:
    """What FFmpeg says is wrong."""
    return getattr(error, "strerror", None) or str(error)
