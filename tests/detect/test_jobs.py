"""Jobs of many videos: any name, leftovers of killed jobs, planted results, the page's cost."""

from __future__ import annotations

import csv
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.utils.text import plain_cell, printable
from tests.square_model import BESIDE, encode, square_frames

Run = Callable[..., int]
ALWAYS = float("inf")
NAMES = [
    b"index.html.mp4",
    b"INDEX.HTML.mkv",
    b"x" * 250 + b".mp4",
    "é".encode() * 120 + b".mp4",
    b"not\xffutf8.mp4",
    b"not\xfeutf8.mp4",
    "caf\u00e9.mp4".encode(),
    "cafe\u0301.mp4".encode(),
    b"12:30:45.mp4",
    b"two\nlines.mp4",
    b"-.mp4",
    b"a.mp4",
    b"A.mp4",
    b"a.avi",
    b"stdin.mp4",
    b"=1+1.mp4",
    b"trailing. .mp4",
    b"%2e%2e.mp4",
]


def test_one_bad_name_never_ends_the_job(
    run: Run, square_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    data = square_video.read_bytes()
    square_video.unlink()
    for name in NAMES:
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(data)
    assert run(folder, "--to", "0.1") == 0, capsys.readouterr()
    out = tmp_path / "out"
    assert len(list(out.glob("*/summary.json"))) == len(NAMES)
    assert {p.name for p in out.iterdir() if p.is_file()} == BESIDE - {".journal"}
    assert run(folder, "--to", "0.1", "--resume") == 0
    assert f"0 done, {len(NAMES)} were done before" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_folders_never_collide(tmp_path: Path, seed: int) -> None:
    names = [os.fsdecode(name) for name in NAMES]
    for place in ("a", "b", "a/b"):
        (tmp_path / place).mkdir()
        for name in names[seed::2]:
            (tmp_path / place / name).touch()
    arguments = [tmp_path, tmp_path / "a", tmp_path / "none.mp4", "x" * 3000 + ".mp4", "-", "-", 7]
    tasks = find_tasks([str(a) for a in arguments], 0.0, ALWAYS)
    folders = [unicodedata.normalize("NFC", task.folder).casefold() for task in tasks]
    assert len(set(folders)) == len(folders)
    parts = [os.fsencode(part) for folder in folders for part in folder.split("/")]
    assert max(map(len, parts)) <= 220
    parents = {parent for folder in folders for parent in map(str, Path(folder).parents)}
    assert not parents & set(folders)
    assert all(task.name.isprintable() for task in tasks)
    assert not {"index.html", "", ".", ".."} & set(folders)


def test_one_file_by_two_paths_is_one_video(square_video: Path, monkeypatch) -> None:
    monkeypatch.chdir(square_video.parent)
    (square_video.parent / "link.mp4").symlink_to(square_video)
    arguments = ["square.mp4", "./square.mp4", str(square_video), "link.mp4", "../in"]
    assert len(find_tasks(arguments, 0.0, ALWAYS)) == 1


def test_names_are_one_line_that_can_be_printed() -> None:
    assert printable(os.fsdecode(b"a\xff\nb")) == "a\\xff\\nb"
    assert printable("plain name é") == "plain name é"


def test_what_a_killed_job_left_is_removed(run: Run, square_video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".detect-killed" / "kept").mkdir(parents=True)
    (out / ".detect-killed" / "summary.json").touch()
    (out / ".index.html.abcdefgh").touch()
    for place in out.iterdir():
        os.utime(place, (0, 0))
    assert run(square_video) == 0
    assert {p.name for p in out.iterdir()} == {"square", *BESIDE}


def test_results_of_another_video_are_not_replaced(
    run: Run, square_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(square_video) == 0
    summary = (tmp_path / "out" / "square" / "summary.json").read_text()
    (tmp_path / "b").mkdir()
    other = encode(tmp_path / "b" / "square.mp4", square_frames(12))
    capsys.readouterr()
    for more in ([], ["--resume"]):
        assert run(other, *more) == 1
        said = capsys.readouterr().out
        assert f"results of {square_video.resolve()} are in {tmp_path / 'out' / 'square'}" in said
    assert (tmp_path / "out" / "square" / "summary.json").read_text() == summary
    moved = square_video.rename(tmp_path / "square.mp4")  # the same file elsewhere
    assert run(moved) == 0


def test_another_job_in_the_same_folder_keeps_its_work(tmp_path: Path) -> None:
    from pcsc_d2.utils.leftovers import HeldFolder

    held = HeldFolder(tmp_path, ".detect-")
    os.utime(held.path, (0, 0))
    Output(tmp_path).close()
    assert held.path.is_dir()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frames", "12"), ("frames", True), ("width", None), ("end", "1e999"), ("stamp", []),
        ("start", float("nan")), ("tubes", {}), ("tubes", [1]), ("tubes", [{"tube": 1}]),
        ("tubes", [{"score": "<script>"}]), ("video", 5), ("more", 1),
    ],
)  # fmt: skip
def test_planted_summary_is_passed_over(
    run: Run, square_video: Path, tmp_path: Path, key: str, value: object
) -> None:
    assert run(square_video, "--to", "1") == 0
    out = tmp_path / "out"
    shutil.copytree(out / "square", out / "other-results")
    path = out / "other-results" / "summary.json"
    content = json.loads(path.read_text())
    assert Summary.load(path) is not None
    if key == "tubes" and isinstance(value, list) and isinstance(value[0], dict):
        value = [content["tubes"][0] | value[0]] if "score" in value[0] else value
    path.write_text(json.dumps(content | {key: value}))
    assert Summary.load(path) is None
    assert run(square_video, "--to", "1", "--resume") == 0
    assert main(["detect", "--merge", str(out), "--quiet"]) == 0
    assert "other-results" not in (out / "index.html").read_text()


def test_page_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch) -> None:
    """Of 2,000 videos that take a second each, with a page that takes 2 ms for each of them."""
    now, written = [0.0], []
    output = Output(tmp_path)
    monkeypatch.setattr("pcsc_d2.detect.archive.output.time.monotonic", lambda: now[0])

    def write_page(whole: bool) -> None:
        written.append(len(written))
        now[0] += 0.002 * done

    monkeypatch.setattr(output, "write_page", write_page)
    for done in range(2000):  # noqa: B007 (`write_page` uses it)
        now[0] += 1
        output.refresh_page()
    assert now[0] < 2000 * 1.06
    assert len(written) > 20


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert plain_cell(text) == f"'{text}"
    assert (plain_cell("run"), plain_cell(-1.5)) == ("run", -1.5)


def test_label_that_begins_a_formula_is_plain_in_csv(
    run: Run, square_video: Path, tmp_path: Path, model, monkeypatch
) -> None:
    from dataclasses import replace

    model.info = replace(model.info, labels=("=HYPERLINK(1)", "circle"))
    assert run(square_video, "--to", "1") == 0
    with open(tmp_path / "out" / "square" / "tubes.csv", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"'=HYPERLINK(1)"}
