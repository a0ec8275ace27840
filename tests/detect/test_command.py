"""The command: what it writes, and how it goes on after a stop."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.cli.commands.detect import seconds
from pcsc_d2.detect.page import write_page
from pcsc_d2.detect.results import Summary
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.video import VideoSource, color_of, write_image
from tests.html_page import HOSTILE, Page
from tests.square_model import BESIDE, SquareModel, encode, square_at, square_frames

Run = Callable[..., int]
RESULTS = {"annotated.mp4", "summary.json", "tubes.csv", "tubes.json"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tubes_of(folder: Path) -> list[dict]:
    return json.loads((folder / "tubes.json").read_text())["tubes"]


def test_what_is_written(run: Run, square_video: Path, tmp_path: Path) -> None:
    assert run(square_video) == 0
    assert names(tmp_path / "out") == {"square", *BESIDE}
    folder = tmp_path / "out" / "square"
    assert names(folder) == RESULTS
    content = json.loads((folder / "tubes.json").read_text())
    assert (content["height"], content["width"], content["frames"]) == (64, 96, 30)
    [tube] = content["tubes"]
    outline = [tube[k] for k in ("label", "start_frame", "end_frame", "start", "end")]
    assert outline == ["square", 1, 30, 0.0, 1.2]
    np.testing.assert_allclose(tube["boxes"][4], square_at(5), atol=1.01)
    assert tube["times"][:3] == [0.0, 0.04, 0.08]
    with open(folder / "tubes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert (rows[4]["label"], rows[4]["frame"], rows[4]["seconds"]) == ("square", "5", "0.16")
    assert float(rows[4]["x1"]) == tube["boxes"][4][0]


def test_annotated_video(run: Run, square_video: Path, tmp_path: Path) -> None:
    run(square_video)
    path = tmp_path / "out" / "square" / "annotated.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # plays before it has loaded
    frames = list(VideoSource(path))
    assert len(frames) == 30
    assert frames[0].shape[:2] == (4 * 64, 4 * 96)  # legible; the page has the timeline
    x1, y1, _, y2 = (4 * c for c in square_at(15))
    # Not the column outside: how much of the side's colour it takes is the encoder's choice.
    color = frames[14][y1 + 40 : y2 - 40, x1 : x1 + 2].astype(int)
    assert color.std(axis=(0, 1)).max() < 10  # one steady colour down the side
    assert np.abs(color.mean((0, 1)) - color_of(1)).max() < 90


def test_the_page_shows_every_video(run: Run, square_video: Path, tmp_path: Path) -> None:
    shutil.copy(square_video, square_video.with_name("<b>&it.mp4"))
    assert run(square_video.parent) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'src="square/annotated.mp4"' in page
    assert 'src="%3Cb%3E%26it/annotated.mp4"' in page
    assert "<b>&it" not in page
    assert "finds bright squares" in page
    assert page.count('data-begin="0.0" data-end="1.2"') == 2
    assert Page(page).text.count("square") >= 2 * 2  # each tube's label on the timeline and beside


def test_hostile_names_stay_text_on_the_page(tmp_path: Path) -> None:
    tube = {"tube": 1, "label": HOSTILE, "score": 0.5, "start": 0.0, "end": 1.0}
    videos = {HOSTILE: Summary(HOSTILE, 48, 64, 25, 0.0, 1.0, HOSTILE, HOSTILE, {}, [tube])}
    write_page(tmp_path / "index.html", videos, [HOSTILE])
    text = (tmp_path / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.count["script"] == 1
    assert page.count["img"] == 0
    assert not {name for name in page.attributes if name.startswith("on")}
    # Model, problem, heading, name, the video's problem, bar, and row of the table.
    assert page.text.count(HOSTILE) == 7
    assert set(page.addresses) == {
        f"{quote(HOSTILE)}/{name}" for name in ("annotated.mp4", "tubes.json", "tubes.csv")
    }
    assert "http" not in text.replace(quote(HOSTILE), "")
    assert "url(" not in text


def test_a_page_of_many_tubes_shows_the_best(tmp_path: Path) -> None:
    tubes = [
        {"tube": i, "label": f"number {i}.", "score": i / 1000, "start": 0.0, "end": 1.0}
        for i in range(1, 302)
    ]
    videos = {"v": Summary("v", 48, 64, 25, 0.0, 1.0, "", "a model", {}, tubes)}
    write_page(tmp_path / "index.html", videos, [])
    shown = Page((tmp_path / "index.html").read_text()).text
    assert "301 tubes in 1 video." in shown
    assert "101 tubes of lower scores are in the files." in shown
    assert "number 301." in shown
    assert "number 101." not in shown


def test_folders_patterns_and_folders_of_frames(run: Run, tmp_path: Path) -> None:
    for name in ("a/clip.mp4", "a/clip.avi", "a/deep/other.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        encode(tmp_path / name, square_frames(12))
    (tmp_path / "a" / "notes.txt").write_text("not a video")
    for i, frame in enumerate(square_frames(12)):
        path = tmp_path / "b" / "frames" / f"{i}.png"
        write_image(path, frame)
    encode(tmp_path / "c1.mp4", square_frames(12))
    encode(tmp_path / "c2.mp4", square_frames(12))
    assert run(tmp_path / "a", tmp_path / "b", tmp_path / "c?.mp4", tmp_path / "c1.mp4") == 0
    folders = {"clip.mp4", "clip.avi", "deep/other", "frames", "c1", "c2"}
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("out/**/tubes.json")}
    assert found == {f"out/{folder}" for folder in folders}
    assert all(len(tubes_of(tmp_path / "out" / f)) == 1 for f in folders)


def test_results_are_no_input(run: Run, square_video: Path) -> None:
    folder = square_video.parent
    for _ in range(2):
        assert run(folder, out=folder / "results") == 0
    assert names(folder / "results") == {"square", *BESIDE}


def test_a_part_of_a_video(
    run: Run, square_video: Path, tmp_path: Path, model: SquareModel
) -> None:
    assert run(square_video, "--from", "0.4", "--to", "0:00.8") == 0
    assert model.clips == 10
    folder = tmp_path / "out" / "square"
    [tube] = tubes_of(folder)
    assert [tube[k] for k in ("start_frame", "end_frame", "start", "end")] == [11, 20, 0.4, 0.8]
    np.testing.assert_allclose(tube["boxes"][0], square_at(11), atol=1.01)
    assert len(VideoSource(folder / "annotated.mp4")) == 10


def test_times() -> None:
    assert [seconds(t) for t in ("90", "1:30", "0:01:30.5")] == [90, 90, 90.5]
    for wrong in ("-1", "1:2:3:4", "x"):
        with pytest.raises(ValueError, match=r".*"):
            seconds(wrong)


def test_what_dense_mode_shares(
    run: Run, square_video: Path, model: SquareModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "pcsc_d2.detect.detector.load_model", lambda *args: asked.append(args[2]) or model
    )
    assert run(square_video) == 0
    assert run(square_video, "--dense") == 0
    assert run(square_video, "--dense", "--dense-level", "c4", "--dense-step", "2") == 0
    assert asked == [None, Sharing(), Sharing("c4", 2)]
    assert run(square_video, "--dense", "--dense-step", "0") == 2


def test_resume(run: Run, square_video: Path, tmp_path: Path, model: SquareModel) -> None:
    run(square_video)
    assert run(square_video, "--resume") == 0
    assert model.clips == 30
    other = encode(square_video.with_name("new.mp4"), square_frames(12))
    run(square_video, other, "--resume")
    assert model.clips == 42
    run(square_video, "--resume", "--score", "0.5")  # not what is there
    assert model.clips == 72
    os.utime(square_video, (1, 1))
    run(square_video, "--resume", "--score", "0.5")
    assert model.clips == 102


def test_results_are_replaced_but_nothing_else(
    run: Run, square_video: Path, tmp_path: Path
) -> None:
    run(square_video)
    assert run(square_video, "--score", "0.95") == 0
    assert tubes_of(tmp_path / "out" / "square") == []
    other = tmp_path / "mine"
    (other / "square").mkdir(parents=True)
    (other / "square" / "thesis.txt").write_text("years of work")
    assert run(square_video, out=other) == 1
    assert names(other / "square") == {"thesis.txt"}


def test_profile_names_the_parts(
    run: Run, square_video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(square_video, "--profile")
    printed = capsys.readouterr().out
    assert "network by torch, float32" in printed
    for part in ("decode", "flow", "network", "link", "draw", "write"):
        assert part in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "3", "--to", "2"], "--from 3 is not before --to 2"),
        (["--score", "7"], "--score: '7' is no number from 0 to 1"),
        (["--every", "0"], "--every: '0' is no whole number of 1 or more"),
        (["--classes", "sphere"], "does not know 'sphere'"),
    ],
)
def test_options_that_make_no_sense(
    run: Run,
    square_video: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(square_video, *arguments) == 2
    assert message in capsys.readouterr().err


def test_no_model(square_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(square_video), "--out", str(tmp_path / "out"), "--model"]
    assert main(["detect", *arguments, str(tmp_path / "no.pt")]) == 2
    assert "no.pt: no such model; give an exported file" in capsys.readouterr().err


SLOW = """
import sys, time
from tests.square_model import BESIDE, SquareModel
from pcsc_d2.cli import main
from pcsc_d2.detect import detector

class Slow(SquareModel):
    def __call__(self, clips, size):
        time.sleep(0.2 * len(clips))
        return super().__call__(clips, size)

detector.load_model = lambda *_: Slow()
sys.exit(main(["detect", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(square_video: Path, tmp_path: Path, number: int) -> None:
    long = encode(square_video.with_name("zlong.mp4"), square_frames(30) * 10)
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW, str(square_video), str(long), "--out", str(out)]
    job = subprocess.Popen(
        [*command, "--model", str(square_video), "--quiet"],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs begin with Ctrl-C ignored, and pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (out / "square").is_dir() and job.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    job.send_signal(number)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 130
    assert errors.splitlines() == [
        "interrupted: what was finished stays, --resume goes on from there"
    ]
    assert names(out) == {"square", *BESIDE}
    assert names(out / "square") == RESULTS
