"""Checkpoints run no code, appear whole, and damaged ones are passed over."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pcsc_d2.cli import main
from pcsc_d2.engine.checkpointing import Checkpointer, require_weights
from pcsc_d2.utils.trust import VARIABLE
from tests.engine.test_trainer import config, train
from tests.test_imports import ROOT
from tests.tiny import tiny_config


class Counter:
    """Stands for a trainer: its state is a number."""

    number = 0

    def state_dict(self) -> dict:
        return {"number": self.number}

    def load_state_dict(self, state: dict) -> None:
        self.number = state["number"]


def checkpointer(folder: Path) -> Checkpointer:
    return Checkpointer(nn.Linear(2, 1), str(folder), trainer=Counter())


def save(folder: Path, *numbers: int) -> None:
    """Checkpoints whose weights and state are a number each."""
    one = checkpointer(folder)
    for number in numbers:
        one.model.weight.data.fill_(number)
        one.checkpointables["trainer"].number = number
        one.save(f"model_{number:07}", iteration=number)


def resumed(folder: Path, weights: str = "") -> int | None:
    """The number that a run goes on with; None if it starts."""
    one = checkpointer(folder)
    one.resume_or_load(weights, resume=True)
    if one.resumed is None:
        return None
    number = one.checkpointables["trainer"].number
    assert one.model.weight.tolist() == [[number, number]]
    return number


def test_resumes_from_the_last(tmp_path: Path) -> None:
    assert resumed(tmp_path) is None
    save(tmp_path, 1, 2, 3)
    assert resumed(tmp_path) == 3
    # A run that began anew in the folder of a longer one.
    save(tmp_path, 1)
    assert resumed(tmp_path) == 1


def damage(path: Path, generator: random.Random) -> None:
    """Cut a file short, or leave nothing, noise or zeros in it; its time stays."""
    data, then = path.read_bytes(), path.stat()
    end = generator.choice([0, generator.randrange(len(data)), len(data) - 1])
    path.write_bytes(generator.choice([data[:end], generator.randbytes(end), bytes(end)]))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


@pytest.mark.parametrize("seed", range(12))
def test_damaged_checkpoints_are_passed_over(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = random.Random(seed)
    save(tmp_path, 1, 2, 3, 4)
    damaged = generator.sample(range(1, 5), generator.randint(1, 4))
    for number in damaged:
        damage(tmp_path / f"model_{number:07}.pth", generator)
    if generator.random() < 0.5:
        (tmp_path / "last_checkpoint").write_bytes(b"")
    left = set(range(1, 5)) - set(damaged)
    assert resumed(tmp_path) == max(left, default=None)
    named = [n for n in range(1, 5) if f"model_{n:07}.pth: cannot be read" in caplog.text]
    assert named == [n for n in range(1, 5) if n > max(left, default=0)]


def test_the_tag_leads_nowhere_else(tmp_path: Path) -> None:
    save(tmp_path / "a", 1)
    save(tmp_path / "b", 2)
    (tmp_path / "a" / "last_checkpoint").write_text("../b/model_0000002.pth")
    assert resumed(tmp_path / "a") == 1


# Dies at the nth of the calls that writing makes.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.engine.test_checkpointing import save
count = 0
def deadly(function):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
import torch, pcsc_d2.utils.files as files
os.replace, os.fsync, torch.save = map(deadly, (os.replace, os.fsync, torch.save))
inner = torch.serialization._open_zipfile_writer_buffer.__exit__
torch.serialization._open_zipfile_writer_buffer.__exit__ = deadly(inner)
save(Path(sys.argv[1]), 2)
"""


def test_a_run_that_is_killed_while_it_saves(tmp_path: Path) -> None:
    outcomes, step = [], 0
    while not outcomes or outcomes[-1] is not None:
        step += 1
        folder = tmp_path / str(step)
        save(folder, 1)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", KILLED, str(folder), str(step)], cwd=ROOT
        )
        assert done.returncode in (0, -signal.SIGKILL)
        outcomes.append(resumed(folder) if done.returncode else None)
        expected = {"last_checkpoint", "model_0000001.pth", "model_0000002.pth"}
        # The last file's neighbour stays until another is written over it.
        assert {n for n in os.listdir(folder) if not n.startswith(".last_")} <= expected
    # Torch's two calls, then fsync and rename of the checkpoint and of the tag that leads to it.
    assert outcomes == [1, 1, 1, 1, 1, 1, None]


class Call:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["x.pkl", "x.pyth", "x.pth", "x:y.pth", "model"])
def test_weights_run_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"model": Call(tmp_path / "made")}))
    with pytest.raises(ValueError, match=name):
        checkpointer(tmp_path).load(str(tmp_path / name))
    torch.save({"model": {}, "more": Call(tmp_path / "made")}, tmp_path / name)
    with pytest.raises(ValueError, match=name):
        checkpointer(tmp_path).load(str(tmp_path / name))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("scheme", ["http", "https", "detectron2", "catalog", "file"])
def test_weights_are_files_of_this_machine(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{scheme}://.* is an address.*{VARIABLE}=1"):
        checkpointer(tmp_path).load(f"{scheme}://localhost:9/x.pth")


@pytest.mark.parametrize("content", [[1], {"model": 1}, {"model": {"a": 1}}, {1: torch.ones(1)}])
def test_files_without_weights_are_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth: holds no weights by name"):
        checkpointer(tmp_path).load(str(tmp_path / "x.pth"))


def test_names_that_look_like_addresses(tmp_path: Path) -> None:
    save(tmp_path, 5)
    for name in ("Clip:1.pth", "a?b=c.pth", "a#b.pth"):
        (tmp_path / name).write_bytes((tmp_path / "model_0000005.pth").read_bytes())
        one = checkpointer(tmp_path)
        one.load(str(tmp_path / name))
        assert one.model.weight.tolist() == [[5, 5]]


@pytest.mark.parametrize("way", [["train"], ["train", "--eval-only"], ["train-actionness"]])
def test_commands_refuse_pickles(
    way: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": Call(tmp_path / "made")}))
    words = [*way, "--config-file", "synthetic/quick.yaml", "MODEL.I3D.WIDTH", "0.0625"]
    options = ["MODEL.WEIGHTS", str(tmp_path / "x.pkl"), "OUTPUT_DIR", str(tmp_path / "out")]
    assert main([*words, *options]) == 2
    errors = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1
    assert "x.pkl is a pickle" in errors[0]
    assert not (tmp_path / "made").exists()


def test_a_final_checkpoint_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    whole = train(config(tmp_path)).model.state_dict()
    final = tmp_path / "model_final.pth"
    for others in (["model_*.pth"], []):
        final.write_bytes(b"")
        # With the checkpoint of the last iteration, then without any behind the third.
        if not others:
            (tmp_path / "model_0000005.pth").write_bytes(b"")
        with (tmp_path / "metrics.json").open("a") as file:
            file.write('{"unfinished')
        trainer = train(config(tmp_path), resume=True)
        assert trainer.checkpointer.resumed.name == f"model_000000{5 if others else 2}.pth"
        saved = torch.load(final, weights_only=True)["model"]
        assert all(torch.equal(saved[key], value) for key, value in whole.items())
        assert "unfinished" not in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize("key", ["MODEL.WEIGHTS", "MODEL.RGB.WEIGHTS", "MODEL.FLOW.WEIGHTS"])
def test_weights_are_looked_for(key: str, tmp_path: Path) -> None:
    cfg = tiny_config([key, str(tmp_path / "none.pth"), "OUTPUT_DIR", str(tmp_path)])
    missing = rf"none\.pth: no such file of weights \({key}\)"
    with pytest.raises(FileNotFoundError, match=missing):
        require_weights(cfg, resume=True)
    (tmp_path / "model_0000001.pth").touch()
    with pytest.raises(FileNotFoundError, match=missing):
        require_weights(cfg, resume=False)
    if key == "MODEL.WEIGHTS":  # a run that goes on has its own
        require_weights(cfg, resume=True)
    else:  # trunks are filled before checkpoints are read
        with pytest.raises(FileNotFoundError, match=missing):
            require_weights(cfg, resume=True)


def test_kinetics_weights_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"run pcsc weights kinetics$"):
        require_weights(tiny_config(["MODEL.RGB.WEIGHTS", "kinetics"]), resume=False)


def test_weights_are_looked_for_before_flow_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pcsc_d2.engine.train.precompute_flow", lambda *_: pytest.fail("too early"))
    options = ["MODEL.WEIGHTS", str(tmp_path / "none.pth"), "OUTPUT_DIR", str(tmp_path / "out")]
    words = ["train", "--config-file", "synthetic/quick.yaml", "--eval-only", *options]
    assert main([*words, "DATASETS.TEST", "()", "DATASETS.TRAIN", "()"]) == 2
    assert "no such file of weights (MODEL.WEIGHTS)" in capsys.readouterr().err
