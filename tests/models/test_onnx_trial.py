"""ONNX files that an engine crashes on: another process compiles and runs them first."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from pcsc_d2.models import trial
from pcsc_d2.models.info import ModelError
from pcsc_d2.models.onnx import file
from pcsc_d2.runtime import Engine
from pcsc_d2.utils.trust import VARIABLE
from tests.models.test_onnx_admission import INFO, made  # skips all where there is no ONNX

ENGINE = Engine("onnxruntime")
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "model.onnx"
    found.write_bytes(made().SerializeToString())
    return found


def test_one_that_ends_the_process_is_refused_and_never_known(
    path: Path, started: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(trial, "_COMPILES", CRASHES)
    monkeypatch.setattr(file, "compile_graph", lambda *_: read.append(1))
    for _ in range(2):
        with pytest.raises(ModelError) as error:
            file.load_onnx(path, ENGINE)
        line = "damaged or hostile, loading it ends the process (SIGSEGV); refused"
        assert str(error.value) == f"{path}: {line}"
    assert (len(started), read) == (2, [])


def test_a_file_is_tried_once(path: Path, started: list) -> None:
    for _ in range(2):
        network, info = file.load_onnx(path, ENGINE)
    assert info == INFO
    assert len(started) == 1
    [found] = network(torch.zeros(1, 3, 4, 8, 8, dtype=torch.uint8), torch.zeros(1, 2, 4, 8, 8))
    assert len(found[0]) == 0


def test_what_is_tried_is_what_would_run(path: Path, started: list) -> None:
    """The other process gets as far as this one would: it runs the graph."""
    file.load_onnx(path, ENGINE)
    [[program, option, text, *words]] = started
    noisy = text.replace("except Exception:\n    pass", "finally:\n    print('over')")
    assert noisy != text
    done = subprocess.run([program, option, noisy, *words], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("over\n", 0), done.stderr


def test_own_and_trusted_files_are_not_tried(
    path: Path, started: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = path.with_name("own.onnx")
    file.save_onnx(made().SerializeToString(), INFO, own)
    file.load_onnx(own, ENGINE)
    monkeypatch.setenv(VARIABLE, "1")
    file.load_onnx(path, ENGINE)
    assert started == []
