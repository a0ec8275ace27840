"""Training on a disk that takes no more ends in one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pcsc_d2 import cli
from tests.disks import small_files
from tests.engine.test_train_net import SMALL


def told(folder: Path, size: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    options = [str(x) for pair in SMALL.items() for x in pair]
    line = ["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", str(folder), *options]
    with small_files(size):
        assert cli.main(line) == 2
    return capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("size", "name", "reason"),
    [(2_000, "config.yaml", "file too large"), (30_000, "model_final.pth", "cannot be written")],
)
def test_the_file_is_named(
    tmp_path: Path, root: Path, size: int, name: str, reason: str, capsys
) -> None:
    lines = told(tmp_path, size, capsys)
    assert lines[-1].startswith(f"error: {tmp_path / name}: {reason}")
    assert not any(line.startswith("Traceback") for line in lines)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(f".{name}")]
    assert not (tmp_path / name).exists()


def test_a_log_on_a_full_disk_names_the_folder(tmp_path: Path, root: Path, monkeypatch, capsys):
    from detectron2.utils.events import JSONWriter

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JSONWriter, "write", full)
    assert told(tmp_path, -1, capsys)[-1] == f"error: {tmp_path}: no space left on device"


def test_an_empty_name_of_the_folder_is_refused(root: Path, capsys) -> None:
    assert cli.main(["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", ""]) == 2
    assert "OUTPUT_DIR is empty" in capsys.readouterr().err
