"""What a killed process left is told from what a living one is working on, and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.leftovers import HeldError, HeldFolder, locked, remove_abandoned

WRITER = """
import sys, time
from pathlib import Path
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.leftovers import HeldFolder
folder = HeldFolder(Path(sys.argv[1]), ".work-")
with atomic_write(Path(sys.argv[1]) / "a.zip") as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""
POOL = """
import os, sys, time
from pcsc_d2.utils.pools import process_pool
with process_pool(2) as pool:
    tasks = [pool.submit(work) for work in (os.getpid, os.getppid) * 2]
    told = {task.result() for task in tasks}
    busy = [pool.submit(time.sleep, 60) for _ in range(int(sys.argv[1]))]
    print(*told, *pool._processes, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcsc_d2.utils.leftovers.YOUNG", 0.0)


def test_only_what_is_abandoned_is_removed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n"
        assert remove_abandoned(tmp_path.iterdir()) == 0
        assert len(list(tmp_path.iterdir())) == 2
        writer.kill()
    assert remove_abandoned(tmp_path.iterdir()) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    kept = [tmp_path / name for name in (".a.zip.other", ".b.zip.abcdefgh", ".a.zip", "b.zip")]
    for path in kept:
        path.touch()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n"
        left = list(tmp_path.glob(".a.zip.????????"))
        with atomic_write(tmp_path / "a.zip") as file:
            file.write(b"whole")
        assert len(left) == 1
        assert left[0].exists()
        writer.kill()
    with atomic_write(tmp_path / "a.zip") as file:
        file.write(b"whole")
    assert not left[0].exists()
    assert all(path.exists() for path in kept)


def test_own_work_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    held = HeldFolder(tmp_path, ".work-")
    with atomic_write(tmp_path / "b") as file:
        assert remove_abandoned([tmp_path / "link", held.path, Path(file.name)]) == 0
    held.release()
    assert list(held.path.iterdir()) == []


def test_a_named_folder_is_one_process_at_a_time(tmp_path: Path) -> None:
    first = HeldFolder(tmp_path, ".work-", "video")
    (first.path / "half").touch()
    with pytest.raises(HeldError, match="another process is at work there"):
        HeldFolder(tmp_path, ".work-", "video")
    assert (first.path / "half").exists()
    first.release()
    second = HeldFolder(tmp_path, ".work-", "video")
    assert second.path == first.path
    assert not (second.path / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".work-video"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, wait=False) as first, locked(path, wait=False) as second:
        assert (first, second) == (True, False)
    with locked(path, wait=True) as third:
        assert third


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("busy", ["0", "9"])
def test_workers_end_when_their_program_is_killed(busy: str) -> None:
    words = [sys.executable, "-c", POOL, busy]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as pool:
        workers = {int(word) for word in pool.stdout.readline().split()}
        assert all(map(is_there, workers))
        os.kill(pool.pid, signal.SIGKILL)
    end = time.monotonic() + 50
    while any(map(is_there, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(is_there, workers))


@pytest.mark.parametrize("name", ["a" * 250, "ü" * 120])
def test_long_names_are_written(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name, "w") as file:
        file.write("whole")
    assert (tmp_path / name).read_text() == "whole"
