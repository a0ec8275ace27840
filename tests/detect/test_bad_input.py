"""Videos as they come, and disks as they are: one clear line each, and the others go on."""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pcsc_d2.video import VideoSource
from tests.square_model import BESIDE, encode, square_at, square_frames, turned

Run = Callable[..., int]


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def one_tube(folder: Path) -> dict:
    [tube] = json.loads((folder / "tubes.json").read_text())["tubes"]
    return tube


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def without_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 64, 96
        container.mux(stream.encode())
    return path


def junk(path: Path) -> Path:
    path.write_bytes(b"this is no video at all\n" * 100)
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def absent(path: Path) -> Path:
    return path


BROKEN = [
    (junk, "cannot be opened as a video"),
    (empty, "the file is empty (0 bytes)"),
    (absent, "no such video: nothing is there (looked for /"),
    (audio_only, "holds no video stream"),
    (without_frames, ""),
]


@pytest.mark.parametrize(("make", "reason"), BROKEN, ids=[make.__name__ for make, _ in BROKEN])
def test_a_bad_file_is_reported_and_stops_nothing(
    run: Run,
    square_video: Path,
    tmp_path: Path,
    make: Callable[[Path], Path],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = make(tmp_path / "bad.mp4")
    assert run(bad, square_video) == 1
    printed = capsys.readouterr().out
    assert "1 done, 1 with problems:" in printed
    [line] = [line for line in printed.splitlines() if line.startswith(f"  {bad}: ")]
    assert reason in line
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"square", *BESIDE}
    assert "bad.mp4" in (tmp_path / "out" / "index.html").read_text()


def test_all_files_are_bad(run: Run, tmp_path: Path) -> None:
    assert run(junk(tmp_path / "a.mp4"), tmp_path / "nothing*") == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == BESIDE


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mjpeg"), ("mkv", "libx264")])
def test_truncated(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, codec: str
) -> None:
    path = encode(tmp_path / f"cut.{suffix}", square_frames(50), codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert run(path) == 1
    found = summary(tmp_path / "out" / "cut")
    assert 10 < found["frames"] < 40
    assert found["tubes"][0]["end_frame"] == found["frames"]
    assert found["problem"].endswith("fetch it again")
    assert f"{path}: {found['problem']} (what could be read is done)" in capsys.readouterr().out
    assert len(VideoSource(tmp_path / "out" / "cut" / "annotated.mp4")) == found["frames"]


def test_variable_frame_rate(run: Run, tmp_path: Path) -> None:
    times = np.cumsum([0] + [0.04] * 9 + [0.2] * 10).tolist()
    run(encode(tmp_path / "v.mp4", square_frames(20), times))
    folder = tmp_path / "out" / "v"
    tube = one_tube(folder)
    np.testing.assert_allclose(tube["times"], times, atol=0.002)
    assert tube["start"] == 0
    with av.open(str(folder / "annotated.mp4")) as container:
        shown = [float(frame.time) for frame in container.decode(video=0)]
    np.testing.assert_allclose(shown, times, atol=0.002)


def test_times_start_at_the_first_frame(run: Run, tmp_path: Path) -> None:
    times = [7 + i / 25 for i in range(20)]
    run(encode(tmp_path / "v.mkv", square_frames(20), times))
    assert one_tube(tmp_path / "out" / "v")["times"][:2] == [0.0, 0.04]


@pytest.mark.parametrize("size", [(65, 97), (67, 96)])
def test_odd_size(run: Run, tmp_path: Path, size: tuple[int, int]) -> None:
    path = encode(tmp_path / "v.avi", square_frames(20, size), codec="ffv1", pixel_format="bgr0")
    assert VideoSource(path).size == size
    assert run(path) == 0
    folder = tmp_path / "out" / "v"
    np.testing.assert_allclose(one_tube(folder)["boxes"][3], square_at(4), atol=1.5)
    height, width = VideoSource(folder / "annotated.mp4").size
    assert (height % 2, width % 2) == (0, 0)


def test_ten_bits(run: Run, tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mkv", square_frames(20), pixel_format="yuv420p10le")
    with av.open(str(path)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p10le"
    assert run(path) == 0
    np.testing.assert_allclose(
        one_tube(tmp_path / "out" / "v")["boxes"][3], square_at(4), atol=1.01
    )


def test_rotated_by_metadata(run: Run, tmp_path: Path) -> None:
    path = turned(encode(tmp_path / "v.mp4", square_frames(20)))
    assert run(path) == 0
    found = summary(tmp_path / "out" / "v")
    frames = list(VideoSource(path))  # which turns them
    assert (found["height"], found["width"]) == frames[0].shape[:2]
    x1, y1, x2, y2 = np.rint(one_tube(tmp_path / "out" / "v")["boxes"][3]).astype(int)
    bright = frames[3].mean(-1) > 160
    assert bright[y1 + 1 : y2, x1 + 1 : x2].all()
    assert bright.sum() <= 1.1 * (y2 - y1 + 1) * (x2 - x1 + 1)


def test_one_frame(run: Run, tmp_path: Path) -> None:
    assert run(encode(tmp_path / "v.mp4", square_frames(1))) == 0
    assert summary(tmp_path / "out" / "v")["frames"] == 1


def test_output_folder_that_cannot_be_made(
    run: Run, square_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(square_video, out=tmp_path / "file" / "out") == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_output_folder_that_cannot_be_written(
    run: Run,
    square_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)  # tests may run as root
    assert run(square_video) == 2
    line = (
        f"error: {tmp_path / 'out'}: cannot be written to (Permission denied); give another --out"
    )
    assert capsys.readouterr().err.strip() == line


def test_page_that_cannot_be_written(
    run: Run,
    square_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pcsc_d2.detect.archive.pages.write_page", full)
    assert run(square_video) == 1
    assert "index.html: cannot be written: No space left" in capsys.readouterr().err
    assert summary(tmp_path / "out" / "square")["tubes"]


class FullDisk:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)


def test_a_page_without_jinja_is_one_line(
    run: Run,
    square_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert run(square_video) == 2
    assert re.search(r"^error: .*needs jinja2, which is not installed", capsys.readouterr().err)
    assert (tmp_path / "out" / "square" / "tubes.json").is_file()


@pytest.mark.parametrize("written", ["video", "json", "times"])
def test_disk_full(
    run: Run,
    square_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    written: str,
) -> None:
    """The first of two videos fits, the second does not."""
    fill_disk_during_second_video(monkeypatch, written)
    second = encode(square_video.with_name("two.mp4"), square_frames(30))
    assert run(square_video, second, square_video.with_name("three.mp4")) == 1
    printed, errors = capsys.readouterr()
    assert "problems" not in printed
    assert f"error: {tmp_path / 'out'}: No space left on device; what was finished stays" in errors
    assert "--resume" in errors
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"square", *BESIDE}


def fill_disk_during_second_video(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    from contextlib import contextmanager

    from pcsc_d2.detect import video_result
    from pcsc_d2.utils import files as io

    whole, seen = io.atomic_write, []

    @contextmanager
    def small(path: Path, mode: str = "wb"):
        with whole(path, mode) as file:
            suffix = {"video": ".mp4", "json": "tubes.json"}.get(written)
            if suffix is None or not str(path).endswith(suffix):
                yield file
                return
            seen.append(path)
            yield file if len(seen) == 1 else FullDisk(file, 100)

    if written == "times":
        opened = video_result.Recorder.see

        def see(
            self: video_result.Recorder, number: int, time: float, size: tuple[int, int]
        ) -> None:
            seen.append(number)
            if len(seen) > 40:
                raise OSError(errno.ENOSPC, "No space left on device")
            opened(self, number, time, size)

        monkeypatch.setattr(video_result.Recorder, "see", see)
    for module in ("detect.results", "video.writing"):
        monkeypatch.setattr(f"pcsc_d2.{module}.atomic_write", small)
