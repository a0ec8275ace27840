"""How subcommands end: one line and an exit status, or a traceback where it is a fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

import pcsc_d2
from pcsc_d2.cli.outcome import exit_status, fail
from pcsc_d2.model_zoo import find_config
from pcsc_d2.utils.extras import missing_package

ROOT = Path(pcsc_d2.__file__).parents[1]


def raising(error: BaseException):
    def work() -> None:
        raise error

    return work


def test_status_of_work_that_succeeds() -> None:
    assert exit_status(lambda: None, "tubes") == 0
    assert exit_status(lambda: 1, "tubes") == 1


def test_errors_of_the_user_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(lambda: find_config("no.yaml"), "train") == 2
    assert exit_status(lambda: (tmp_path / "absent").read_text(), "train") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: no.yaml: no such file, and no config of the package is named")
    assert "jhmdb/pcsc.yaml" in first
    assert second.startswith("error: ")
    assert "absent" in second


def test_faults_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="shape"):
        exit_status(lambda: np.zeros(3).reshape(2, 2) and None, "tubes")
    with pytest.raises(KeyError):
        exit_status(raising(KeyError("x")), "tubes")
    with pytest.raises(ImportError, match="cannot import name"):
        exit_status(raising(ImportError("cannot import name 'x'")), "tubes")


def test_a_missing_package_is_named_with_its_extra(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert exit_status(raising(error), "check") == 2
    assert capsys.readouterr().err == (
        "error: pcsc check needs opencv-python, which is not installed: "
        "pip install 'pcsc_d2[train]'\n"
    )
    ours = ModuleNotFoundError("No module named 'pcsc_d2.nothing'", name="pcsc_d2.nothing")
    with pytest.raises(ModuleNotFoundError):
        exit_status(raising(ours), "check")


def test_opencv_without_libgl_says_which_to_take() -> None:
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    line = missing_package(ImportError(reason), "pcsc detect", "detect")
    assert "finds no libGL.so.1" in line
    assert "pip install opencv-python-headless" in line


def test_warnings_of_this_package_alone_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        place = {"category": UserWarning, "lineno": 1}
        warnings.warn_explicit("ours", filename=str(ROOT / "pcsc_d2" / "x.py"), **place)
        warnings.warn_explicit("theirs", filename="/usr/lib/torch/functional.py", **place)

    exit_status(work, "tubes")
    assert capsys.readouterr().err == "warning: ours\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("full")])
@pytest.mark.parametrize("bars", [1, 2])
def test_the_last_line_is_not_on_that_of_a_progress_bar(
    error: BaseException, bars: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        others = [tqdm(total=3, position=place) for place in range(bars)]
        [other.update() for other in others]
        raise error

    exit_status(work, "tubes")
    last = capsys.readouterr().err.split("\n")[-2]
    assert last.startswith(("interrupted", "error: "))


def test_a_warning_is_not_on_the_line_of_a_progress_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        for _ in tqdm(range(1)):
            place = {"category": UserWarning, "lineno": 1}
            warnings.warn_explicit("ours", filename=str(ROOT / "pcsc_d2" / "x.py"), **place)

    exit_status(work, "tubes")
    shown = capsys.readouterr().err
    assert "\rwarning: ours\n" in shown  # what was there is wiped first


def test_fail_gives_the_status_for_what_the_user_has_to_mend() -> None:
    assert fail("x") == 2


POOL = """
import sys, time
from pathlib import Path
from pcsc_d2.cli.outcome import exit_status
from pcsc_d2.utils.pools import process_pool

class HalfMade:
    def __del__(self):
        raise ValueError

def slow(path):
    kept = HalfMade()
    Path(path).touch()
    time.sleep(60)

def work():
    kept = HalfMade()
    with process_pool(2) as pool:
        for task in [pool.submit(slow, f"{sys.argv[1]}/{i}") for i in range(6)]:
            task.result()

if __name__ == "__main__":
    sys.exit(exit_status(work, "flow"))
"""
NESTED = """
import sys
from functools import partial
from pathlib import Path
from pcsc_d2.cli.outcome import exit_status
from pcsc_d2.utils.programs import run_module

if __name__ == "__main__":
    if sys.argv[0].endswith("first.py"):
        work = partial(run_module, ["nested", sys.argv[1]])
    else:
        def work():
            import time
            Path(sys.argv[1], "0").touch()
            time.sleep(60)
    sys.exit(exit_status(work, "demo"))
"""


@pytest.mark.parametrize("code", [POOL, NESTED], ids=["pool", "program"])
@pytest.mark.parametrize("whole_group", [True, False], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_command_says_so_once(code: str, whole_group: bool, tmp_path: Path) -> None:
    (tmp_path / "nested.py").write_text(NESTED)
    (tmp_path / "first.py").write_text(code)
    started = tmp_path / "started"
    started.mkdir()
    job = subprocess.Popen(
        [sys.executable, "first.py", str(started)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(started.iterdir()) and job.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    if whole_group:  # as a terminal does
        os.killpg(job.pid, signal.SIGINT)
    else:
        job.terminate()
    _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (130, "interrupted\n")
    for _ in range(200):  # what started the pool's processes ends a moment later
        with suppress(ProcessLookupError):
            os.killpg(job.pid, 0)
            time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.killpg(job.pid, 0)


EARLY = """
import _thread, builtins, sys
plain = builtins.__import__

def stopped(name, *rest):
    if name == "argparse":
        _thread.interrupt_main()
    return plain(name, *rest)

from pcsc_d2.cli import main
builtins.__import__ = stopped
sys.exit(main(["--version"]))
"""


def test_a_command_that_is_interrupted_at_its_start_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_what_a_library_makes_of_an_interruption_is_one_still(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("an error of C++") from None

    assert exit_status(work, "export") == 130
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 // 0, "export")


def test_errors_of_the_system_name_the_file_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(lambda: tmp_path.read_text(), "tubes") == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: is a directory\n"
