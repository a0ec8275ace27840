"""Programs of the demo: their threads, their logs, and how they fail."""

import os
from pathlib import Path

import pytest

from pcsc_d2.demo.programs import run_quietly, suitable_threads


@pytest.mark.parametrize(
    ("cores", "load", "threads"),
    [(1, 0, 1), (2, 0, 1), (2, 5, 1), (4, 0, 2), (8, 4, 2), (64, 1, 4)],
)
def test_threads_suit_free_cores(monkeypatch, cores: int, load: float, threads: int):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0), raising=False)
    assert suitable_threads() == threads


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that tells its threads and fails as asked."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import os, sys\nprint(os.environ['OMP_NUM_THREADS'], os.environ.get('MORE'))\n"
    (tmp_path / "some_work.py").write_text(code + "sys.exit(' '.join(sys.argv[1:]) or 0)\n")
    return "some_work"


def test_what_a_program_says_goes_to_its_log(module: str, tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run_quietly([module], tmp_path / "log", {"MORE": "x"})
    assert (tmp_path / "log").read_text() == "3 x\n"
    assert capfd.readouterr() == ("", "")


def test_a_failure_names_the_log_and_its_last_line(module: str, tmp_path: Path):
    with pytest.raises(
        ChildProcessError, match=r"some_work ended with status 1; see .*log: no disk"
    ):
        run_quietly([module, "no", "disk"], tmp_path / "log")
