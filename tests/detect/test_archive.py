"""Archives: lists, trees, shares, several jobs in one folder, and the page and table of it all."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.detect.archive.journal import Journal
from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.archive.pages import PageWriter
from pcsc_d2.detect.archive.shares import Share
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.detect.video_job import WORK_PREFIX, _work_name
from pcsc_d2.utils.leftovers import HeldFolder
from tests.html_page import HOSTILE, Page
from tests.square_model import BESIDE, encode, square_frames

Run = Callable[..., int]
ALWAYS = float("inf")
NAMES = ["a.mp4", "a/b.mp4", "a/c.avi", "a/c.mp4", "d/e/f.mp4", "g.mp4"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A tree of short videos, and one that is none."""
    folder = tmp_path / "archive"
    for i, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(folder / name, square_frames(10 + i))
    (folder / "d" / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
def merge(tmp_path: Path) -> Callable[[Path], int]:
    return lambda out: main(["detect", "--merge", str(out), "--quiet"])


def content(out: Path) -> dict[str, bytes]:
    """All files that do not say which process made them."""
    paths = [p for p in out.rglob("*") if p.is_file() and ".journal" not in p.parts]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in paths}


def test_the_tree_is_mirrored(run: Run, archive: Path, tmp_path: Path) -> None:
    assert run(archive) == 1
    out = tmp_path / "out"
    found = {p.parent.relative_to(out).as_posix() for p in out.glob("*/**/tubes.json")}
    # "a" would hold the folders of other videos, which its replacement would take along.
    assert found == {"a.mp4", "a/b", "a/c.avi", "a/c.mp4", "d/e/f", "g"}
    counts = json.loads((out / "summary.json").read_text())
    assert (counts["videos"], counts["tubes"], counts["videos_with_problems"]) == (6, 6, 1)
    assert counts["classes"] == {"square": {"tubes": 6, "videos": 6}}
    assert counts["frames"] == sum(10 + i for i in range(6))
    assert "broken.mp4: cannot be opened as a video" in counts["problems"][0]
    with open(out / "tubes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == sorted(found)
    assert {(row["label"], row["start_frame"]) for row in rows} == {("square", "1")}


def test_shares_make_what_one_process_makes(
    run: Run, merge: Callable[[Path], int], archive: Path, tmp_path: Path
) -> None:
    one, shared = tmp_path / "one", tmp_path / "shared"
    assert run(archive, out=one) == 1
    codes = [run(archive, "--share", f"{i}/3", out=shared) for i in (3, 1, 2)]
    assert sorted(codes) == [0, 0, 1]
    assert not (shared / "index.html").exists()
    assert merge(shared) == 1  # one video has a problem
    assert content(shared) == content(one)
    assert content(one)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shares_are_parts_of_the_whole(count: int) -> None:
    folders = [f"a/{i}" for i in range(400)]
    shares = [[f for f in folders if Share(i + 1, count).holds(f)] for i in range(count)]
    assert sorted(chain.from_iterable(shares)) == sorted(folders)
    assert min(map(len, shares)) > 400 / count / 2


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_share(run: Run, square_video: Path, text: str, capsys) -> None:
    assert run(square_video, f"--share={text}") == 2
    assert "is no share; the first of three is 1/3" in capsys.readouterr().err


def test_a_killed_job_goes_on(run: Run, archive: Path, tmp_path: Path) -> None:
    """Killed without warning, resumed by another process: the same files as without."""
    slow = (
        "import sys, time\n"
        "from tests.square_model import SquareModel\n"
        "from pcsc_d2.cli import main\n"
        "from pcsc_d2.detect import detector\n"
        "class Slow(SquareModel):\n"
        "    def __call__(self, clips, size):\n"
        "        time.sleep(0.1)\n"
        "        return super().__call__(clips, size)\n"
        "detector.load_model = lambda *_: Slow()\n"
        "sys.exit(main(['detect', *sys.argv[1:]]))\n"
    )
    (archive / "d" / "broken.mp4").unlink()
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert run(archive, out=whole) == 0
    words = [str(archive), "--model", str(tmp_path / "model.pt"), "--out", str(out), "--quiet"]
    job = subprocess.Popen([sys.executable, "-c", slow, *words], cwd=Path(__file__).parents[2])
    while len(list(out.glob("**/tubes.json"))) < 2 and job.poll() is None:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    job.wait()
    for journal in out.glob(".journal/*.jsonl"):  # as if it had been killed while it wrote
        journal.write_bytes(journal.read_bytes()[:-9])
    assert run(archive, "--resume") == 0
    assert content(out) == content(whole)
    assert not list(out.glob(".detect-*"))


def test_two_jobs_do_not_do_the_same_video(
    run: Run, archive: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("pcsc_d2.detect.job.YOUNG", 0.0)
    (archive / "d" / "broken.mp4").unlink()
    out = tmp_path / "out"
    out.mkdir()
    held = HeldFolder(out, WORK_PREFIX, _work_name("a/b"))
    assert run(archive) == 1
    assert "b.mp4: another job is at work on it" in capsys.readouterr().out
    assert held.path.is_dir()
    assert not (out / "a" / "b").exists()
    held.release()
    shutil.rmtree(held.path)
    assert run(archive, "--resume") == 0
    assert "1 done, 5 were done before" in capsys.readouterr().out
    assert "at work" not in (out / "index.html").read_text()


def test_what_another_job_did_meanwhile_stays(archive: Path, run: Run, tmp_path: Path) -> None:
    assert run(archive / "g.mp4") == 0
    out = tmp_path / "out"
    [task] = find_tasks([str(archive / "g.mp4")], 0.0, ALWAYS)
    settings = Summary.load(out / "g" / "summary.json").stamp
    settings.pop("video")
    began = (out / "g" / "summary.json").stat().st_mtime_ns
    early, late = Output(out, began), Output(out, began + 10**12)
    assert early.done_meanwhile(task, settings).state == "before"
    other = early.done_meanwhile(task, {"other": "settings"})
    assert (other.state, "has put other results into g" in other.problem) == ("failed", True)
    assert late.done_meanwhile(task, settings) is None


def test_folders_of_other_videos_are_not_replaced(run: Run, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(archive / "g.mp4") == 0
    shutil.copytree(out / "g", out / "g" / "inner")
    assert run(archive / "g.mp4") == 1
    assert (out / "g" / "inner" / "tubes.json").is_file()


def test_a_list_with_missing_lines(run: Run, archive: Path, tmp_path: Path, capsys) -> None:
    (archive / "list.txt").write_text(
        f"# a comment\n\na.mp4\na/b.mp4\nno/such.mp4\r\n{archive}/g.mp4\na/b.mp4\nd/e\n"
    )
    assert run(archive / "list.txt") == 1
    out = tmp_path / "out"
    found = {p.parent.relative_to(out).as_posix() for p in out.glob("*/**/tubes.json")}
    assert found == {"a.mp4", "a/b", f"{archive}/g"[1:], "d/e/f"}
    [line] = [x for x in capsys.readouterr().out.splitlines() if "no such video" in x]
    assert "nothing is there (line 5 of list.txt; looked for " in line


@pytest.mark.parametrize("data", [b"a\0b\n", b"\0" * 100])
def test_what_is_no_list(run: Run, tmp_path: Path, data: bytes, capsys) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    assert run(tmp_path / "list.txt") == 2
    assert "list.txt: is no list of videos (line 1)" in capsys.readouterr().err


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(archive: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=archive)) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_addresses_only_where_they_are_allowed(
    run: Run, archive: Path, tmp_path: Path, server: str, capsys
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{server}/a/b.mp4\n{server}/a/none.mp4?x=1\n")
    assert run(listed) == 2
    assert f"{server}/a/b.mp4 (line 1 of list.txt): an address" in capsys.readouterr().err
    assert run(listed, "--urls") == 1
    place = tmp_path / "out" / "127.0.0.1" / "a"
    [tube] = json.loads((place / "b" / "tubes.json").read_text())["tubes"]
    assert tube["end_frame"] == 11
    assert "a/none.mp4?x=1: cannot be opened as a video" in capsys.readouterr().out
    assert run(listed, "--urls", "--resume") == 1
    assert "0 done, 1 were done before" in capsys.readouterr().out


def test_an_address_with_another_key_is_the_same_video(run: Run, server: str) -> None:
    for key in (1, 2):
        assert run(f"{server}/g.mp4?key={key}", "--urls") == 0


def test_a_playlist_at_an_address_leads_nowhere(
    run: Run, archive: Path, server: str, capsys
) -> None:
    (archive / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n")
    assert run(f"{server}/list.m3u8", "--urls") == 1
    assert "list.m3u8: cannot be opened as a video" in capsys.readouterr().out


def test_an_output_folder_of_another_version(
    run: Run, merge: Callable[[Path], int], archive: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    (out / ".journal").mkdir(parents=True)
    (out / ".journal" / "format").write_text("99\n")
    for job in (partial(run, archive), partial(merge, out)):
        assert job() == 2
        [line] = capsys.readouterr().err.splitlines()
        assert "was written by another version of this program (format '99'" in line
    assert {p.name for p in out.iterdir()} == {".journal"}


def test_results_without_a_journal_are_found(
    run: Run, merge: Callable[[Path], int], archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(archive / "a", archive / "g.mp4") == 0
    before = content(out)
    shutil.rmtree(out / ".journal")
    assert merge(out) == 0
    assert content(out) == before
    assert merge(tmp_path / "archive") == 2
    assert merge(tmp_path / "nothing") == 2


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n", b"[]\n", b"{}\n", b'{"folder": "../../etc", "written": 1.0}\n',
        b'{"folder": 5, "written": 1.0}\n', b'{"folder": "g", "written": "x"}\n',
        b"[" * 9999 + b"\n",
        b'{"folder": "/etc", "written": 1.0, "summary": {}}\n', b"\xff\xfe\n", b'{"folder": "cut',
    ],
)  # fmt: skip
def test_planted_lines_are_passed_over(tmp_path: Path, line: bytes) -> None:
    Journal(tmp_path).close()
    (tmp_path / ".journal" / "planted.jsonl").write_bytes(line)
    journal = Journal(tmp_path)
    journal.refresh()
    assert (journal.done, journal.failed) == ({}, {})


def summary(video: str, labels: str = "ab", score: float = 0.5) -> Summary:
    tubes = [
        {
            "tube": i + 1, "label": label, "score": score, "start": 0.0, "end": 1.0,
            "start_frame": 1, "end_frame": 25,
        }
        for i, label in enumerate(labels)
    ]  # fmt: skip
    return Summary(video, 48, 64, 25, 0.0, 1.0, "", "a model", {}, tubes)


def test_a_video_adds_a_line_and_nothing_else_grows(tmp_path: Path) -> None:
    """What is written for a video is as much after 3,000 others as at first."""
    journal = Journal(tmp_path)
    pages = PageWriter(tmp_path, journal)
    sizes = []
    for i in range(3000):
        journal.add(f"{i:05d}", summary(f"{i:05d}"))
        [file] = tmp_path.glob(".journal/*.jsonl") if i % 500 == 0 else [None]
        if file is not None:
            sizes.append(file.stat().st_size / (i + 1))
    assert max(sizes) < min(sizes) * 1.05
    pages.write(whole=False)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "pages").iterdir()}
    assert len(before) == 2 * 15
    journal.add("02999", summary("again"))
    pages.write(whole=False)
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"0015.html", "0015.js"}


def test_pages_and_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcsc_d2.detect.archive.pages.PER_PAGE", 3)
    journal = Journal(tmp_path)
    names = [f"a/{i}" for i in range(7)] + [f"b/{HOSTILE.replace('/', '_')}"]
    for name in names:
        journal.add(name, summary(name, HOSTILE[:1] + "x"))
    journal.add_failure("c", HOSTILE, HOSTILE)
    PageWriter(tmp_path, journal).write(whole=True)
    files = {p.name for p in (tmp_path / "pages").iterdir()}
    assert files == {f"000{i}.{kind}" for i in (1, 2, 3) for kind in ("html", "js")}
    index = (tmp_path / "index.html").read_text()
    for text in (index, (tmp_path / "pages" / "0003.html").read_text()):
        page = Page(text)
        assert page.open == []
        assert (page.count["script"], page.count["img"]) == (1, 0)
        assert not {name for name in page.attributes if name.startswith("on")}
        assert "http" not in text
    assert "16 tubes in 8 videos." in Page(index).text
    assert {"pages/0001.html", "pages/0002.html", "pages/0003.html"} <= set(Page(index).addresses)
    first = Page((tmp_path / "pages" / "0001.html").read_text())
    assert {"../a/0/annotated.mp4", "../index.html", "0002.html"} <= set(first.addresses)
    data = (tmp_path / "pages" / "0001.js").read_text()
    call = json.loads(f"[{data.strip().removeprefix('archivePage(').removesuffix(');')}]")
    assert call[0] == "0001"
    assert call[1][0] == ["a/0", 1.0, [["<", 0.5, 0.0], ["x", 0.5, 0.0]]]


def test_pages_that_are_no_more_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcsc_d2.detect.archive.pages.PER_PAGE", 2)
    journal = Journal(tmp_path)
    for i in range(3):
        journal.add(f"{i}", summary(f"{i}"))
    (tmp_path / "pages").mkdir()
    for name in ("0009.html", "0009.js", "mine.html"):
        (tmp_path / "pages" / name).touch()
    PageWriter(tmp_path, journal).write(whole=True)
    left = {p.name for p in (tmp_path / "pages").iterdir()}
    assert left == {"0001.html", "0001.js", "0002.html", "0002.js", "mine.html"}


def test_parquet_holds_what_json_holds(run: Run, archive: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(archive / "a", archive / "g.mp4") == 0
    out = tmp_path / "out"
    rows = parquet.read_table(out / "tubes.parquet").to_pylist()
    assert [row["video"] for row in rows] == ["b", "c.avi", "c.mp4", "g"]
    for row in rows:
        [tube] = json.loads((out / row["video"] / "tubes.json").read_text())["tubes"]
        for name in ("tube", "label", "score", "start", "end", "start_frame", "end_frame", "times"):
            assert row[name] == tube[name]
        assert row["boxes"] == [pytest.approx(box, abs=1e-4) for box in tube["boxes"]]
        assert len(row["scores"]) == len(row["boxes"]) == row["end_frame"]


def test_without_pyarrow_there_is_a_line_and_the_rest(
    run: Run, square_video: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tubes.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run(square_video) == 0
    printed = capsys.readouterr().out
    assert "needs pyarrow, which is not installed: pip install 'pcsc_d2[parquet]'" in printed
    there = {p.name for p in (tmp_path / "out").iterdir()}
    assert there == {"square", *BESIDE} - {"tubes.parquet"}


@pytest.mark.parametrize("damage", ["gone", "cut", "foreign"])
def test_damaged_results_are_named(
    run: Run, merge: Callable[[Path], int], archive: Path, tmp_path: Path, damage: str, capsys
) -> None:
    out = tmp_path / "out"
    assert run(archive / "a") == 0
    path = out / "b" / "tubes.json"
    if damage == "gone":
        shutil.rmtree(path.parent)
    else:
        path.write_text({"cut": path.read_text()[:-20], "foreign": '{"tubes": [5]}'}[damage])
    capsys.readouterr()
    assert merge(out) == 1
    assert f"b{'' if damage == 'gone' else '/tubes.json'}: " in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["videos"] == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["x.mp4", "--workers", "2"], "--workers is for --ray"),
        (["x.mp4", "--ray", "--share", "1/2"], "--ray shares the videos itself"),
        (["x.mp4", "--ray", "--profile"], "--profile looks at one process"),
        (["x.mp4", "--ray", "--workers", "0"], "--workers: '0' is no whole number"),
        (["--share", "1/2"], "name a VIDEO"),
    ],
)
def test_options_that_do_not_go_together(
    run: Run, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert line in capsys.readouterr().err


def test_a_job_needs_a_place(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["detect", "x.mp4"]) == 2
    assert capsys.readouterr().err.startswith("error: --out DIR is missing")
    assert not list(tmp_path.iterdir())
