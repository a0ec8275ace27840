"""Exported files without some tensors: put together as they were, or refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pcsc_d2.export import ModelError, ModelInfo, load_archive, save_archive
from pcsc_d2.model_zoo.kinetics import kinetics_digest, kinetics_file
from pcsc_d2.models.packing import NOTE, Kernel, Packed, rounded, tensor_digest
from pcsc_d2.utils.weights import save_tensors

INFO = ModelInfo(("a",), clip_length=4, min_size=8, max_size=64, flow_method="dis")
STEM = "Conv3d_1a_7x7.conv3d.weight"


class Two(torch.nn.Module):
    """A convolution and a linear layer, as far as an exported network goes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 8, 3)
        self.linear = torch.nn.Linear(8, 600)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.conv(x).mean(dim=[2, 3, 4]))


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    torch.manual_seed(0)
    state = {STEM: torch.randn(8, 3, 3, 3, 3)}
    save_tensors(kinetics_file(), {"state_dict": state})
    return state


def save(path: Path, weights: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Write a packed file; an input, and what its network answers."""
    network, scale = Two().eval(), torch.rand(8) + 0.5
    with torch.no_grad():
        network.conv.weight.copy_(weights[STEM] * scale.view(-1, 1, 1, 1, 1))
        how = rounded(network.linear.weight.numpy(), "int8")
        network.linear.weight.copy_(torch.from_numpy(how.tensor(dict)))
    packed = {
        tensor_digest(network.conv.weight.detach().numpy()): Packed(Kernel(STEM, 3), scale.numpy()),
        tensor_digest(network.linear.weight.detach().numpy()): how,
    }
    x = torch.rand(2, 3, 4, 8, 8)
    frozen = torch.jit.freeze(torch.jit.trace(network, x))
    save_archive(frozen, INFO, path, packed, kinetics_digest(weights))
    return x, network(x)


def test_is_put_together_as_it_was(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model.pt"
    x, expected = save(path, weights)
    network, info = load_archive(path)
    assert info == INFO
    assert torch.equal(network(x), expected)
    with pytest.raises(RuntimeError):  # by torch alone it cannot be read, rather than be wrong
        torch.jit.load(path)


@pytest.mark.parametrize("stored", ["float16", "int8"])
def test_rounding(stored: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    values[2] = 0
    made = rounded(values, stored).tensor(dict).reshape(4, 50)
    assert made.dtype == np.float32
    share = {"float16": 6e-4, "int8": 0.004}[stored]
    assert 0 < np.abs(made - values).max() <= np.abs(values).max() * share
    assert (made[2] == 0).all()


def refused(path: Path, why: str) -> None:
    with pytest.raises(ModelError) as error:
        load_archive(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert why in str(error.value)


def test_weights_that_cannot_be_had(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model.pt"
    save(path, weights)
    kinetics_file().write_bytes(kinetics_file().read_bytes()[:200])
    refused(path, "run pcsc weights kinetics again")
    save_tensors(kinetics_file(), {"state_dict": {STEM: weights[STEM] + 1}})
    refused(path, "holds others: remove it and run pcsc weights kinetics again")
    kinetics_file().unlink()
    refused(path, "pcsc weights kinetics --from FILE")


def test_no_pip(
    tmp_path: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    save(path, weights)
    kinetics_file().unlink()
    monkeypatch.setattr("pcsc_d2.model_zoo.download.find_spec", lambda name: None)
    refused(path, "this Python has no pip")


def changed(path: Path, change: Callable[[dict], None]) -> None:
    """Write a packed file anew with another note."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    (name,) = [name for name in parts if name.endswith(NOTE)]
    note = json.loads(parts[name])
    change(note)
    parts[name] = json.dumps(note).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


def of_kernel(note: dict, **values: object) -> None:
    (entry,) = [each for each in note["records"].values() if "kernel" in each]
    entry.update(values)


CHANGES = {
    "kernel of another name": lambda note: of_kernel(note, kernel=["x", 3]),
    "kernel of many channels": lambda note: of_kernel(note, kernel=[STEM, 10**9]),
    "kernel that is none": lambda note: of_kernel(note, kernel=7),
    "no known weights": lambda note: note.update(kinetics=""),
    "no note": lambda note: note.clear(),
    "object values": lambda note: [
        each.update(values="object") for each in note["records"].values() if "values" in each
    ],
    "no such place": lambda note: [e.update(place="away") for e in note["records"].values()],
    "a record is missing": lambda note: note["records"].popitem(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_odd_notes(name: str, tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model.pt"
    save(path, weights)
    changed(path, CHANGES[name])
    refused(path, "")


def test_a_stem_for_flow_of_an_older_kind(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model.pt"
    save(path, weights)
    changed(path, lambda note: of_kernel(note, kernel=[STEM, 2]))
    refused(path, "of a kind that is made no more; export it again")


def test_a_file_that_is_cut_short(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model.pt"
    save(path, weights)
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "not a model that pcsc export wrote")


def test_nothing_half_written_is_left(
    tmp_path: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pcsc_d2.models.archive.pack", fails)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "new" / "model.pt", weights)
    assert list((tmp_path / "new").iterdir()) == []


class Sine(torch.nn.Module):
    """Uses an operator that no exported network has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


def test_what_is_put_together_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_archive(torch.jit.script(Sine()), INFO, path, packed={})
    with zipfile.ZipFile(path) as file:
        assert any(name.endswith(NOTE) for name in file.namelist())
    with pytest.raises(ModelError, match=r"model\.pt uses aten::sin, which no network"):
        load_archive(path)
