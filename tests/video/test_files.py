"""One definition of what a video is, for every part that looks for videos, frames or flow."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.datasets.archives import unpack
from pcsc_d2.datasets.custom.rows import plain_name
from pcsc_d2.datasets.layout import DatasetFiles
from pcsc_d2.datasets.sources import find_sources
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.flow.conversion import flow_files
from pcsc_d2.video import VideoSource
from pcsc_d2.video.files import find_video, find_videos, locate_videos, video_name, walk_videos
from tests.video.test_hostile import truth

# As a phone and a disk of macOS leave them.
VIDEOS = ("run/IMG_1.MOV", "run/b.v2.Mp4", "run/c.m4v", "run/d.TS")
LEFTOVERS = (
    "run/._IMG_1.MOV", "run/.DS_Store", "run/Thumbs.db", "run/notes.txt", "__MACOSX/run/x.mp4",
    ".cache/y.mp4",
)  # fmt: skip
NAMES = ["run/IMG_1", "run/b.v2", "run/c", "run/d", "run/frames"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``VIDEOS`` and a folder of two frames, with the leftovers beside them."""
    root = tmp_path / "videos"
    frames = [f"run/frames/{name}" for name in ("1.JPG", "2.JPG", "._1.JPG", ".DS_Store")]
    for name in (*VIDEOS, *LEFTOVERS, *frames):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def write_image(path: Path) -> None:
    path.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())


def test_readers_find_the_same_videos(folder: Path, tmp_path: Path) -> None:
    assert sorted(find_videos(folder)) == NAMES
    tasks = find_tasks([str(folder)], 0, 1)
    assert sorted(Path(t.name).relative_to(folder).as_posix() for t in tasks) == sorted(
        [*VIDEOS, "run/frames"]
    )
    assert sorted(find_sources([folder], tmp_path / "unpacked").clips) == NAMES
    dataset = DatasetFiles("", "coded", ())  # folder is <root>/<name>/videos
    assert sorted(dataset.videos_there(tmp_path, truth(["run/a"]))) == NAMES


def test_found_by_name(folder: Path) -> None:
    found = locate_videos(folder, [*NAMES, "run/x", "nowhere/a", "run/b"])
    assert [found[name].relative_to(folder).as_posix() for name in NAMES] == [*VIDEOS, "run/frames"]
    assert [found[name] for name in ("run/x", "nowhere/a", "run/b")] == [None] * 3


def test_the_earlier_suffix_is_taken(tmp_path: Path) -> None:
    for name in ("a.webm", "a.AVI", "a.mp4"):
        (tmp_path / name).touch()
    assert find_video(tmp_path, "a").name == "a.AVI"
    (tmp_path / "a").mkdir()
    assert find_video(tmp_path, "a").name == "a.AVI"


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    for name in ("x/f1/1.jpg", "x/f1/2.jpg", "x/c.v2.mp4", "readme.txt", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(find_videos(tmp_path)) == ["x/c.v2", "x/f1"]
    (tmp_path / "x" / "c.v2.avi").write_bytes(b"")
    with pytest.raises(ValueError, match="by the same name"):
        find_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder of videos"):
        find_videos(tmp_path / "videos")
    assert plain_name("x\\IMG_1.MOV") == "x/IMG_1"
    assert video_name(Path("videos/run/IMG_1.MOV")) == "run/IMG_1"


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "run" / "again").symlink_to(folder)
    assert len(list(walk_videos(folder))) == len(NAMES)


def test_earlier_results_and_what_is_below_frames_are_passed_over(folder: Path) -> None:
    (folder / "run" / "frames" / "flow").mkdir()
    (folder / "run" / "frames" / "flow" / "1.jpg").touch()
    assert len(list(walk_videos(folder))) == len(NAMES)
    (folder / "run" / "summary.json").touch()
    assert list(walk_videos(folder, "summary.json")) == []


def test_frames_and_flow_beside_leftovers(tmp_path: Path) -> None:
    for name in ("1.png", "2.PNG", "u/1.png", "v/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name)
        (tmp_path / name).with_name(f"._{Path(name).name}").write_bytes(b"a fork")
    assert len(VideoSource(tmp_path)) == 2
    flow = tmp_path / "flow"
    flow.mkdir()
    for side in "uv":
        (tmp_path / side).rename(flow / side)
    (flow / "._x.flo").write_bytes(b"")
    assert flow_files(flow) == [(flow / "u" / "1.png", flow / "v" / "1.png")]


def test_archives_leave_leftovers_packed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in (*VIDEOS, *LEFTOVERS):
            file.writestr(name, b"x")
    unpack(tmp_path / "a.zip", tmp_path / "a")
    there = {p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*.*")}
    assert there == {*VIDEOS, "run/notes.txt", ".complete"}
