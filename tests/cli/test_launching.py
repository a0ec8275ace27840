"""Jobs of several processes: what is refused, what a killed process does, and torchrun."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("detectron2")

import torch

from pcsc_d2.cli import main
from pcsc_d2.cli.launching import launched
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


def run_killed() -> int:
    """What ``pcsc train`` does, with work that dies."""
    args = argparse.Namespace(
        command="train",
        config_file="synthetic/quick.yaml",
        opts=[],
        num_gpus=2,
        num_machines=1,
        machine_rank=0,
        dist_url="auto",
        timeout=60,
    )
    return launched(die_on_the_second_rank, args)


def test_killed_process_ends_the_job_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__))],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "rror" in line or "process" in line]
    assert lines == [
        "error: process 1 of 2 was ended by SIGKILL (out of memory?); --resume goes on"
    ]
    assert "Traceback" not in done.stderr


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


def torchrun(folder: Path, restarts: int, program: list[str]) -> str:
    small = SMALL | {"SOLVER.MAX_ITER": 5, "SOLVER.CHECKPOINT_PERIOD": 2, "VIS_PERIOD": 0}
    options = [str(x) for pair in small.items() for x in pair]
    line = ["--nproc-per-node", "2", "--max-restarts", str(restarts), "--standalone", *program]
    line += [*LINE, *options, "DATASETS.TEST", "()", "OUTPUT_DIR", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *line],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DETECTRON2_DATASETS": str(folder.parent),
        },
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return (folder / "log.txt").read_text()


def test_torchrun_with_a_restart_ends_with_the_same_weights(tmp_path: Path) -> None:
    sizes = {"train": 2, "test": 1}
    generate(tmp_path, "easy", sizes, size=(48, 64), length=(16, 16), progress=False)
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


if __name__ == "__main__":
    sys.exit(run_killed())
