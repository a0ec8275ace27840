"""Exported files that torch crashes on, or whose tensors are not within them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from pcsc_d2.models import trial
from pcsc_d2.models.archive import load_archive, save_archive
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.utils.trust import VARIABLE
from tests.models.test_admission import rewritten

INFO = ModelInfo(("a",), clip_length=4, min_size=0, max_size=64, flow_method="dis")


class Scaled(torch.nn.Module):
    """Has a constant and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.arange(6.0).view(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weights.sum() + torch.ones(3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def exported(path: Path, freeze: bool = True) -> Path:
    network = torch.jit.script(Scaled().eval())
    save_archive(torch.jit.freeze(network) if freeze else network, INFO, path)
    return path


def nested(name: str, data: bytes) -> bytes:
    return data.replace(b"return ", b"return " + b"(" * 100_000) if name.endswith(".py") else data


def refused(path: Path, why: str) -> None:
    with pytest.raises(ModelError, match=why) as error:
        load_archive(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_code_that_ends_the_process(tmp_path: Path, started: list) -> None:
    path = rewritten(exported(tmp_path / "m.pt"), nested)
    for _ in range(2):  # such a file is never taken for known
        refused(path, r"damaged or hostile, loading it ends the process \(SIG")
    assert len(started) == 2


def test_packed_files_too(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    save_archive(torch.jit.freeze(torch.jit.script(Scaled().eval())), INFO, path, packed={})
    refused(rewritten(path, nested), "ends the process")


def test_a_file_is_tried_once(tmp_path: Path, started: list) -> None:
    path = rewritten(exported(tmp_path / "m.pt"), lambda _, data: data)
    for _ in range(2):
        assert load_archive(path)[0](torch.ones(3)).tolist() == [16, 16, 16]
    assert len(started) == 1
    (tmp_path / "other.pt").write_bytes(path.read_bytes())  # known by what is in it
    load_archive(tmp_path / "other.pt")
    assert len(started) == 1


def test_own_shipped_and_trusted_files_are_not_tried(
    tmp_path: Path, started: list, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_archive(exported(tmp_path / "m.pt"))
    trial.require_harmless(shipped_model, str(shipped_model))
    path = rewritten(exported(tmp_path / "m.pt"), lambda _, data: data)
    monkeypatch.setenv(VARIABLE, "1")
    load_archive(path)
    assert started == []


def test_files_that_take_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_LONGEST", 0.01)
    path = rewritten(exported(tmp_path / "m.pt"), lambda _, data: data)
    refused(path, "takes over 0 seconds")


def test_a_cache_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    cache.write_text("in the way")
    load_archive(rewritten(exported(tmp_path / "m.pt"), lambda _, data: data))


@pytest.mark.parametrize("size", [0, 1, -1])
@pytest.mark.parametrize("freeze", [True, False])
def test_records_of_another_length(size: int, freeze: bool, tmp_path: Path, started: list) -> None:
    folder = "/constants/" if freeze else "/data/"

    def cut(name: str, data: bytes) -> bytes:
        return data[:size] if folder in name else data

    refused(rewritten(exported(tmp_path / "m.pt", freeze), cut), "shorter than the tensor in it")
    assert started == []


def pickle_of(path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as file:
        return next(file.read(name) for name in file.namelist() if name.endswith("/data.pkl"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        # Behind a tensor's storage follow its offset, sizes and strides.
        (b"q\x07K\x00(K\x02K\x03t", b"q\x07K\x01(K\x02K\x03t", "in 6 numbers"),
        (b"q\x07K\x00(K\x02K\x03t", b"q\x07K\x00(K\x02K\x04t", "in 6 numbers"),
        (b"t(K\x03K\x01t", b"t(K\x04K\x01t", "in 6 numbers"),
        (b"K\x06tQ", b"K\x07tQ", "is shorter than the tensor"),
        (b"FloatStorage", b"DoubleStorage", "is shorter than the tensor"),
        (b"FloatStorage", b"OtherStorage", "not a model"),
    ],
)
def test_tensors_that_leave_their_record(
    old: bytes, new: bytes, why: str, tmp_path: Path, started: list
) -> None:
    path = exported(tmp_path / "m.pt", freeze=False)
    assert old in pickle_of(path)

    def change(name: str, data: bytes) -> bytes:
        return data.replace(old, new, 1) if name.endswith("/data.pkl") else data

    refused(rewritten(path, change), why)
    assert started == []
