"""Training on a disk that takes no more ends in one line that names the file."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pcsc_d2 import cli
from tests.disks import small_files
from tests.engine.test_train_net import SMALL


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def told(folder: Path, size: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    options = [str(x) for pair in SMALL.items() for x in pair]
    line = ["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", str(folder), *options]
    with small_files(size):
        assert cli.main(line) == 2
    return capsys.readouterr().err.strip().splitlines()


def test_the_config_is_named(tmp_path: Path, root: Path, capsys) -> None:
    lines = told(tmp_path, 2_000, capsys)
    assert lines[-1] == f"error: {tmp_path / 'config.yaml'}: file too large"
    assert not any(line.startswith("Traceback") for line in lines)
    assert not list(tmp_path.glob("*config.yaml*")) + list(tmp_path.glob(".*"))


def test_the_checkpoint_is_named(tmp_path: Path, root: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.save", no_space)
    lines = told(tmp_path, -1, capsys)
    assert lines[-1] == f"error: {tmp_path / 'model_final.pth'}: no space left on device"
    assert not any(line.startswith("Traceback") for line in lines)
    assert not list(tmp_path.glob("*model_final*")) + list(tmp_path.glob(".*"))


def test_a_log_on_a_full_disk_names_the_folder(tmp_path: Path, root: Path, monkeypatch, capsys):
    from detectron2.utils.events import JSONWriter

    monkeypatch.setattr(JSONWriter, "write", no_space)
    assert told(tmp_path, -1, capsys)[-1] == f"error: {tmp_path}: no space left on device"


def test_an_empty_name_of_the_folder_is_refused(root: Path, capsys) -> None:
    assert cli.main(["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", ""]) == 2
    assert "OUTPUT_DIR is empty" in capsys.readouterr().err
