"""A video is what its file holds: no list of other files, no address, no cover picture."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from pcsc_d2.video import VideoError, VideoSource, read_frames
from pcsc_d2.video.decoding import open_reader

PLAYLISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n",
    "concat.mkv": "ffconcat version 1.0\nfile other.ts\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "sdp.avi": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_playlist_is_refused_in_one_line(tmp_path: Path, encode, gray, name: str):
    encode(tmp_path / "other.ts", gray(4))
    (tmp_path / name).write_text(PLAYLISTS[name])
    with pytest.raises(VideoError, match=f"{name}: is a list of other files"):
        VideoSource(tmp_path / name)


@pytest.mark.parametrize("name", [b"12:30:45.mp4", b"http:a.mp4", b"x\xff.mp4", b"concat:a.mp4"])
def test_any_name_is_a_file(tmp_path: Path, monkeypatch, encode, gray, name: bytes):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.mp4", gray(4))
    os.rename("a.mp4", name)
    assert sum(1 for _ in VideoSource(os.fsdecode(name))) == 4


def with_cover(path: Path, frames: list[np.ndarray]) -> Path:
    """A cover picture as the first stream, then the frames."""
    with av.open(str(path), "w") as container:
        cover, video = container.add_stream("mjpeg", rate=25), container.add_stream("mpeg4", 25)
        cover.pix_fmt, cover.height, cover.width = "yuvj420p", 32, 32
        video.pix_fmt, (video.height, video.width) = "yuv420p", frames[0].shape[:2]
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        picture.pts = 0
        container.mux([*cover.encode(picture), *cover.encode()])
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def test_cover_is_no_video(tmp_path: Path, gray):
    source = VideoSource(with_cover(tmp_path / "v.mp4", gray(6)))
    assert source.size == (48, 64)
    assert (len(source), sum(1 for _ in source)) == (6, 6)


def test_false_time_stamps_do_not_make_millions_of_frames(tmp_path: Path, encode, gray):
    path = encode(tmp_path / "v.mkv", gray(4), times=[0, 1, 2, 75_000_000])
    for work in (lambda: len(VideoSource(path, "constant_rate")), lambda: read_frames(
        path, [70_000_000], "constant_rate")):  # fmt: skip
        with pytest.raises(VideoError, match="time stamps make 75,000,001 frames of its first"):
            work()
    assert len(VideoSource(path, "coded")) == 4


def test_frames_larger_than_memory_are_refused(tmp_path: Path, monkeypatch, encode, gray):
    path = encode(tmp_path / "v.mkv", gray(4))
    monkeypatch.setattr("pcsc_d2.video.opening._MOST_PIXELS", 48 * 64 - 1)
    with pytest.raises(VideoError, match="frames of 64 x 48 pixels, more than"):
        VideoSource(path)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
@pytest.mark.parametrize("seed", range(4))
def test_what_decodes_behind_damage_is_used(tmp_path: Path, encode, noise, codec: str, seed: int):
    path = encode(tmp_path / "v.mkv", noise(40), codec)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    place = len(data) // 2 + int(rng.integers(200))
    data[place : place + 60] = rng.bytes(60)
    path.write_bytes(data)
    walked, problem = 0, ""
    try:
        for _ in VideoSource(path):
            walked += 1
    except VideoError as error:
        problem = str(error)
    assert walked >= 30
    assert walked == 40 or problem


def test_joined_transport_streams_are_one_video(tmp_path: Path, encode, gray):
    parts = [encode(tmp_path / f"{i}.ts", gray(10)).read_bytes() for i in range(2)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    walked: list[object] = []
    with pytest.raises(VideoError, match=r"damaged after frame \d+ .* behind it is used"):
        walked.extend(frame for frame in open_reader(path, "coded"))
    assert len(walked) == 20
    assert len(read_frames(path, [19])) == 1


def test_counting_agrees_with_walking_where_frames_are_cut_off(tmp_path: Path, encode_as, gray):
    """Cut in the middle of a group of frames, as ``ffmpeg -ss T -c copy`` does."""
    path = encode_as(tmp_path / "v.mkv", gray(24), "libx264", None, {"g": "12", "bf": "2"})
    with av.open(str(path)) as whole, av.open(str(tmp_path / "cut.mkv"), "w") as cut:
        stream = whole.streams.video[0]
        out = cut.add_stream_from_template(stream)
        for packet in [p for p in whole.demux(stream) if p.size][5:]:
            packet.stream = out
            cut.mux(packet)
    for rule in ("coded", "constant_rate"):
        source = VideoSource(tmp_path / "cut.mkv", rule)
        assert len(source) == sum(1 for _ in source)
