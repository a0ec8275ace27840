"""Live: a file played in real time is the camera, and a client of this test the browser."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.detect import ActionDetector, DetectOptions
from pcsc_d2.detect.live.broadcast import Broadcast, Status
from pcsc_d2.detect.live.capture import Capture
from pcsc_d2.detect.live.feeds import Feed, feed_of
from pcsc_d2.detect.live.recording import Recording
from pcsc_d2.detect.live.server import serving
from pcsc_d2.video import VideoError, VideoSource
from tests.detect.live.viewer import Slow, ask, watch
from tests.square_model import SquareModel, encode, square_frames

Run = Callable[..., int]
FRAMES = 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return encode(tmp_path / "live.mp4", square_frames(FRAMES))


def test_boxes_as_they_come(video: Path) -> None:
    viewer, status = watch(video, SquareModel())
    assert "<title>live.mp4</title>" in viewer.page
    assert len(viewer.seen) >= 2
    last = viewer.seen[-1]
    assert last.shape == (4 * 64, 4 * 96, 3)
    # The box of the key frame is around the square of the same picture.
    gray = last.min(axis=2)
    columns = np.flatnonzero((gray[80:120] > 190).mean(axis=0) > 0.9)
    assert 80 <= len(columns) <= 24 * 4
    edge = last[80:120, columns[0] - 3 : columns[0]].astype(int)
    assert (edge.max(axis=2) - edge.min(axis=2)).max() > 60
    assert status.came == FRAMES
    assert viewer.states[-1]["found"] == ["square"]
    assert viewer.states[-1]["lag"] > 0


def test_frames_are_dropped_and_not_queued(video: Path) -> None:
    """With 0.25 s for each key frame and frames of 0.04 s, most are missed, and the lag stays."""
    began = time.monotonic()
    viewer, status = watch(encode(video, square_frames(34)), Slow())
    assert status.came == 34
    assert status.dropped > 0
    # What queues hold: 34 key frames one after the other would take more than 8.5 s.
    assert status.came - status.dropped < 34
    assert viewer.states
    assert time.monotonic() - began < 60


def test_little_waits_in_queues(video: Path) -> None:
    """However slow the network, the newest frame that it has not seen is a few frames away."""
    capture = Capture(feed_of(str(video)))
    behind = [
        capture.came - capture.dropped - moment.frame
        for moment in ActionDetector(Slow(), DetectOptions(batch=1)).stream(capture, ahead=1)
    ]
    # One in each of three queues and four hands, two of the half clip and its flow.
    assert max(behind) <= 10


def test_a_feed_that_ends_is_opened_again() -> None:
    opened: list[float] = []

    def frames() -> Iterator[np.ndarray]:
        opened.append(time.monotonic())
        if len(opened) == 2:
            raise VideoError("rtsp://camera/", "is not there")
        for shade in range(3):
            time.sleep(0.02)
            yield np.full((8, 8, 3), 10 * len(opened) + shade, np.uint8)

    capture = Capture(Feed("door", frames))
    seen = []
    for frame in capture:
        seen.append((frame.number, int(frame.pixels[0, 0, 0])))
        if len(opened) == 3:
            capture.stop()
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert {shade // 10 for _, shade in seen} == {1, 3}
    first, second = np.diff(opened)
    assert first >= 0.5
    assert second >= 1.0  # longer, since it was not there at all


def test_a_feed_that_never_was_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcsc_d2.detect.live.capture._FIRST_WAIT", 0.01)
    opened = []

    def frames() -> Iterator[np.ndarray]:
        opened.append(1)
        raise VideoError("rtsp://camera/", "is not there")
        yield

    capture = Capture(Feed("door", frames))
    assert list(capture) == []
    assert len(opened) == 4
    assert capture.problem == "is not there; given up after 4 tries without a frame"


def test_an_address_where_nobody_answers_is_one_line(
    run: Run, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcsc_d2.detect.live.capture._FIRST_WAIT", 0.01)
    words = ["detect", "rtsp://127.0.0.1:1/door", "--model", str(tmp_path / "model.pt")]
    assert main([*words, "--serve", "0"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("rtsp://127.0.0.1:1/door: is not there, or no video")


def test_a_feed_that_is_silent_is_not_called_live(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = "pcsc_d2.detect.live.capture._SILENCE"
    monkeypatch.setattr(silence, 60.0)
    awake = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        yield np.zeros((8, 8, 3), np.uint8)
        awake.wait(10)
        yield np.zeros((8, 8, 3), np.uint8)

    capture = Capture(Feed("frozen", frames, comes_back=False))
    assert capture.state == "opening"
    walk = iter(capture)
    next(walk)
    assert capture.state == "live"
    monkeypatch.setattr(silence, 0.0)
    assert capture.state == "waiting"
    monkeypatch.setattr(silence, 60.0)
    awake.set()
    next(walk)
    assert capture.state in ("live", "ended")


def test_only_the_newest_frame_waits() -> None:
    sent = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        for shade in range(20):
            yield np.full((8, 8, 3), shade, np.uint8)
        sent.set()

    capture = Capture(Feed("fast", frames, comes_back=False))
    walk = iter(capture)
    first = next(walk)
    assert sent.wait(10)
    rest = [int(frame.pixels[0, 0, 0]) for frame in walk]
    assert rest in ([], [19])
    assert capture.came == 20
    assert capture.dropped >= 18
    assert capture.seen(first.number)[1] is first.pixels


def test_frames_of_another_size_end_it() -> None:
    shapes = iter([(8, 8, 3), (9, 8, 3)])

    def frames() -> Iterator[np.ndarray]:
        for shape in shapes:
            yield np.zeros(shape, np.uint8)
            time.sleep(0.3)

    with pytest.raises(VideoError, match="another size"):
        list(Capture(Feed("odd", frames, comes_back=False)))


def test_nobody_waits_for_a_slow_viewer() -> None:
    broadcast = Broadcast()
    walk = broadcast.pictures()
    broadcast.publish(b"1", Status())
    assert next(walk) == b"1"
    for number in (b"2", b"3", b"4"):
        broadcast.publish(number, Status())
    assert next(walk) == b"4"
    broadcast.close()
    assert list(walk) == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("localhost:80", 200),
        ("[::1]:80", 200),
        ("evil.test", 403),
    ],
)
def test_other_sites_cannot_read_the_page(host: str, status: int) -> None:
    with serving(Broadcast(), 0) as address:
        answer = ask(address, "/", host)
        assert answer.status == status
        if status == 200:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert ask(address, "/../secret").status == 404


def test_a_port_in_use_is_one_line(video: Path, run: Run, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["detect", str(video), "--model", str(video.parent / "model.pt"), "--serve"]
        assert main([*words, str(port)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: port {port} is in use: give another --serve")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "b.mp4"], "--serve shows one VIDEO"),
        (["ftp://host/a"], "expected rtsp, http, https"),
        (["no.mp4"], "no such video file"),
        (["live.mp4", "--record", "5"], "--record MINUTES and --out DIR go together"),
        (["live.mp4", "--resume"], "leave out --share"),
        (["live.mp4", "--record", "0", "--out", "o"], "'0' is no whole number from 1"),
        (["live.mp4", "--host", "x" * 70], "cannot be served from"),
        (["http://[x"], "http://[x: is no address"),
        (["live.mp4", "--host", "no-such-host.invalid"], "cannot be served from"),
    ],
)
def test_what_cannot_be_shown(
    video: Path, run: Run, words: list[str], message: str, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(video.parent)
    assert main(["detect", *words, "--model", "model.pt", "--serve", "0"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_command(video: Path, run: Run, tmp_path: Path, capsys) -> None:
    words = ["detect", str(video), "--model", str(tmp_path / "model.pt"), "--serve", "0"]
    assert main([*words, "--record", "2", "--out", str(tmp_path / "kept")]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("page: http://127.0.0.1:")
    assert last.startswith(f"{FRAMES} frames came, ")
    [path] = (tmp_path / "kept").glob("live-*.mp4")
    assert len(VideoSource(path)) >= 2


def test_a_recording_keeps_the_last_minutes(tmp_path: Path) -> None:
    recording = Recording(tmp_path, minutes=2, seconds=1.0)
    for i in range(50):
        recording.add(np.full((16, 16, 3), i, np.uint8), i / 10)
    recording.close()
    files = sorted(tmp_path.glob("*.mp4"))
    assert len(files) == 2
    assert [len(VideoSource(path)) for path in files] == [10, 10]
    shades = [int(next(iter(VideoSource(path)))[0, 0, 0]) for path in files]
    assert shades == pytest.approx([30, 40], abs=4)


def test_a_login_is_not_shown() -> None:
    assert feed_of("rtsp://me:secret@10.0.0.9/door").name == "rtsp://10.0.0.9/door"
    with pytest.raises(VideoError) as error:
        next(feed_of("rtsp://me:secret@127.0.0.1:1/door").open())
    assert "secret" not in str(error.value)
    assert "is not there, or no video" in str(error.value)
