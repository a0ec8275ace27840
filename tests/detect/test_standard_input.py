"""Standard input: read by the rules of files, and nothing of it is left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pcsc_d2.detect.inputs.standard_input import standard_input
from pcsc_d2.video import VideoError, VideoSource
from tests.square_model import BESIDE, encode, square_frames, turned

Run = Callable[..., int]


class Pipe:
    """Standard input that somebody writes to: chunks, then what Ctrl-C does, or the end."""

    def __init__(self, data: bytes, interrupted: bool = False, keyboard: bool = False) -> None:
        self._chunks = [data[i : i + 5000] for i in range(0, len(data), 5000)]
        self._interrupted, self._keyboard = interrupted, keyboard

    def isatty(self) -> bool:
        return self._keyboard

    def read1(self, _: int) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        if self._interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        return b""


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """(data) puts it into standard input."""
    return lambda *a, **k: monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Pipe(*a, **k)))


def tubes_of(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "tubes.json").read_text())
    return {key: value for key, value in content.items() if key != "video"}


VIDEOS = {
    "plain": lambda folder: encode(folder / "v.mkv", square_frames(30)),
    "turned": lambda folder: turned(encode(folder / "v.mp4", square_frames(20))),
    "odd size": lambda folder: encode(
        folder / "v.avi", square_frames(20, (65, 97)), codec="ffv1", pixel_format="bgr0"
    ),
    "variable rate": lambda folder: encode(
        folder / "v.mkv", square_frames(12), [0.04 * i**1.5 for i in range(12)]
    ),
}


@pytest.mark.parametrize("kind", VIDEOS)
def test_gives_what_the_file_gives(
    run: Run, pipe: Callable[..., None], tmp_path: Path, kind: str
) -> None:
    path = VIDEOS[kind](tmp_path)
    pipe(path.read_bytes())
    assert run("-", path) == 0
    folder = tmp_path / "out" / "stdin"
    assert tubes_of(folder) == tubes_of(tmp_path / "out" / "v")
    assert len(VideoSource(folder / "annotated.mp4")) == tubes_of(folder)["frames"]
    results = {"annotated.mp4", "summary.json", "tubes.csv", "tubes.json"}
    assert {p.name for p in folder.iterdir()} == results
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"stdin", "v", *BESIDE}


def test_part_of_it_and_what_is_cut_off(
    run: Run, pipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "v.mkv", square_frames(30))
    pipe(path.read_bytes())
    assert run("-", "--from", "0.4", "--to", "0.8") == 0
    found = tubes_of(tmp_path / "out" / "stdin")
    assert (found["frames"], found["start"]) == (10, 0.4)
    pipe(path.read_bytes()[: path.stat().st_size // 2])
    assert run("-") == 1
    assert "standard input: " in capsys.readouterr().out
    assert tubes_of(tmp_path / "out" / "stdin-2")["problem"]
    assert tubes_of(tmp_path / "out" / "stdin")["frames"] == 10


def test_what_it_gave_is_never_replaced(
    run: Run, pipe: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "stdin.mkv", square_frames(30))
    folders = [tmp_path / "out" / name for name in ("stdin", "stdin-2", "stdin-3")]
    for frames in (9, 10, 11):
        pipe(path.read_bytes())
        assert run("-", "--to", frames / 25) == 0
    assert [tubes_of(folder)["frames"] for folder in folders] == [9, 10, 11]
    capsys.readouterr()
    assert run(path) == 1
    assert "results of standard input are in " in capsys.readouterr().out
    assert tubes_of(folders[0])["frames"] == 9


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"no video\n" * 1000, "cannot be opened as a video"), (b"", "the file is empty")],
)
def test_no_video(
    run: Run,
    pipe: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    reason: str,
) -> None:
    pipe(data)
    assert run("-") == 1
    assert f"standard input: {reason}" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == BESIDE


@pytest.fixture
def default_interrupt() -> Any:
    """A shell's background jobs begin with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_interrupt")
def test_interrupting_an_endless_stream_looks_through_what_came(
    run: Run, pipe: Callable[..., None], tmp_path: Path
) -> None:
    pipe(encode(tmp_path / "v.mkv", square_frames(30)).read_bytes(), interrupted=True)
    assert run("-") == 0
    assert tubes_of(tmp_path / "out" / "stdin")["frames"] == 30


@pytest.mark.usefixtures("default_interrupt")
def test_interrupting_before_anything_came_ends_the_command(
    run: Run, pipe: Callable[..., None], tmp_path: Path
) -> None:
    pipe(b"", interrupted=True)
    assert run("-") == 130


def test_keyboard(pipe: Callable[..., None], tmp_path: Path) -> None:
    pipe(b"", keyboard=True)
    with pytest.raises(VideoError, match="is the keyboard"):
        standard_input(tmp_path)


def test_more_than_has_room(
    pipe: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=20_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    pipe(b"x" * 30_000)
    with pytest.raises(VideoError, match=r"is longer than the 0\.0 GB"):
        standard_input(tmp_path)
    assert (tmp_path / "stdin").stat().st_size == 10_000
