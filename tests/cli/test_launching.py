"""Jobs of several processes: what is refused, what a killed process does, and torchrun."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("detectron2")

import torch

from pcsc_d2.cli import main
from pcsc_d2.cli.launching import launched
from pcsc_d2.cli.outcome import exit_status
from pcsc_d2.datasets.synthetic.generate import generate
from tests.engine.test_train_net import SMALL

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
LINE = ["train", "--config-file", "synthetic/quick.yaml"]


def text_of(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*LINE, *line]) == 2
    (text,) = capsys.readouterr().err.splitlines()
    return text


def test_more_gpus_than_there_are_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    text = text_of(["--num-gpus", "4", "MODEL.DEVICE", "cuda"], capsys)
    assert text == "error: 4 GPUs are asked for, and there are 2 on this machine"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    text = text_of(["MODEL.DEVICE", "cuda"], capsys)
    assert text == "error: MODEL.DEVICE is cuda and there is no GPU: add MODEL.DEVICE cpu"


def test_torchrun_and_num_gpus_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    assert "torchrun starts the processes: leave out" in text_of(["--num-gpus", "2"], capsys)


def die_on_the_second_rank(args: argparse.Namespace) -> None:
    """The first waits for the second, which is killed as one without memory is."""
    from detectron2.utils import comm

    if comm.get_rank() == 1:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    comm.synchronize()


def stop_on_the_second_rank(args: argparse.Namespace) -> None:
    """The first waits for the second, which is stopped as one is whose machine hangs."""
    from detectron2.utils import comm

    if comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    comm.synchronize()


def wait_for_long(args: argparse.Namespace) -> None:
    """Both are at work."""
    os.write(1, b"at work\n")  # at once, as both write to one pipe
    time.sleep(900)


def run_launched(work: Callable[[argparse.Namespace], None], timeout: float) -> int:
    """What ``pcsc train`` does, with other work."""
    args = argparse.Namespace(
        command="train",
        config_file="synthetic/quick.yaml",
        opts=[],
        num_gpus=2,
        num_machines=1,
        machine_rank=0,
        dist_url="auto",
        timeout=timeout,
    )
    return exit_status(partial(launched, work, args), "train")


def started(work: Callable[[argparse.Namespace], None], timeout: float) -> subprocess.Popen:
    """A job of two processes, in a group of its own."""
    program = f"from {__name__} import *; sys.exit(run_launched({work.__name__}, {timeout}))"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        env=ENVIRONMENT,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs begin with the signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def ended(job: subprocess.Popen) -> tuple[int, list[str]]:
    """The exit status of a job, and what it says; none of its processes lives on."""
    _, said = job.communicate(timeout=600)
    for _ in range(1200):
        try:
            os.killpg(job.pid, 0)
        except ProcessLookupError:
            return job.returncode, said.splitlines()
        time.sleep(0.1)
    os.killpg(job.pid, signal.SIGKILL)
    pytest.fail("processes of the job live on")


@pytest.mark.parametrize(
    ("work", "timeout", "line"),
    [
        (
            die_on_the_second_rank,
            60,
            "process 1 of 2 was ended by SIGKILL (out of memory?); --resume goes on",
        ),
        (
            stop_on_the_second_rank,
            5,
            "another process of the job did not answer within 5 s (--timeout); --resume goes on",
        ),
    ],
)
def test_a_killed_or_stalled_process_ends_the_job_with_one_line(
    work: Callable[[argparse.Namespace], None], timeout: float, line: str
) -> None:
    assert ended(started(work, timeout)) == (2, [f"error: {line}"])


def children(parent: int) -> str:
    """The command lines of a process's children."""
    numbers = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    lines = [Path(f"/proc/{number}/cmdline") for number in numbers]
    return " ".join(line.read_text() for line in lines if line.exists())


@pytest.mark.parametrize("seconds", [0.0, 1.0, 4.0])
def test_ctrl_c_while_processes_start_is_one_line(seconds: float) -> None:
    job = started(wait_for_long, 60)
    while "spawn_main" not in children(job.pid):
        time.sleep(0.05)
    time.sleep(seconds)
    os.killpg(job.pid, signal.SIGINT)
    assert ended(job) == (130, ["interrupted"])


def test_processes_end_with_a_killed_parent() -> None:
    job = started(wait_for_long, 60)
    assert [job.stdout.readline() for _ in range(2)] == ["at work\n"] * 2
    job.kill()
    assert ended(job) == (-signal.SIGKILL, [])


DIES_ONCE = """
import os, sys
from pcsc_d2.cli import main
from pcsc_d2.engine import Trainer

step = Trainer.run_step


def run_step(trainer):
    if trainer.iter == 3 and os.environ["RANK"] + os.environ["TORCHELASTIC_RESTART_COUNT"] == "10":
        os._exit(1)
    step(trainer)


Trainer.run_step = run_step
sys.exit(main(sys.argv[1:]))
"""


def training(program: list[str], folder: Path, *words: str) -> subprocess.CompletedProcess:
    """A tiny training of the datasets beside a folder, which it writes to."""
    small = SMALL | {"SOLVER.MAX_ITER": 5, "SOLVER.CHECKPOINT_PERIOD": 2, "VIS_PERIOD": 0}
    options = [str(x) for pair in small.items() for x in pair]
    options += ["DATASETS.TEST", "()", "OUTPUT_DIR", str(folder)]
    return subprocess.run(
        [sys.executable, "-W", "ignore", *program, *LINE, *words, *options],
        env=ENVIRONMENT | {"DETECTRON2_DATASETS": str(folder.parent)},
        capture_output=True,
        text=True,
        timeout=1500,
    )


def torchrun(folder: Path, restarts: int, program: list[str]) -> str:
    line = ["--nproc-per-node", "2", "--max-restarts", str(restarts), "--standalone", *program]
    done = training(["-m", "torch.distributed.run", *line], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return (folder / "log.txt").read_text()


@pytest.fixture
def clips(tmp_path: Path) -> None:
    """Generated clips in the test's folder."""
    sizes = {"train": 2, "test": 1}
    generate(tmp_path, "easy", sizes, size=(48, 64), length=(16, 16), progress=False)


def test_a_batch_that_processes_cannot_share_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", "3"]
    text = text_of(["--num-gpus", "2", *options], capsys)
    assert text.startswith("error: SOLVER.IMS_PER_BATCH 3 cannot be shared by 2 processes: set it")


@pytest.mark.usefixtures("clips")
def test_processes_share_the_cpu(tmp_path: Path) -> None:
    done = training(["-m", "pcsc_d2"], tmp_path / "two", "--num-gpus", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "World size: 2" in (tmp_path / "two" / "log.txt").read_text()
    assert torch.load(tmp_path / "two" / "model_final.pth", weights_only=True)["iteration"] == 4


@pytest.mark.usefixtures("clips")
def test_torchrun_with_a_restart_ends_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "dies_once.py").write_text(DIES_ONCE)
    whole = torchrun(tmp_path / "whole", 0, ["-m", "pcsc_d2"])
    assert "Starting training from iteration 0" in whole
    parts = torchrun(tmp_path / "parts", 1, [str(tmp_path / "dies_once.py")])
    assert "Starting training from iteration 2" in parts
    found, expected = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"]
        for name in ("parts", "whole")
    )
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
