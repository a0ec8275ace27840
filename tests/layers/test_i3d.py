from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.layers import InceptionI3D, load_i3d_weights
from pcsc_d2.layers.i3d import STRIDES, FrozenBatchNorm3d, same_padding

PORTS = {"piergiaj": "pytorch-i3d_rgb", "hassony2": "kinetics_i3d_pytorch_rgb"}


def seeded_state(trunk: InceptionI3D, stream: str, statistics: Path) -> dict[str, torch.Tensor]:
    """The weights under which the reference outputs were made (piergiaj's names)."""
    stats = np.load(statistics)
    state = {}
    for key, value in trunk.state_dict().items():
        seed = zlib.crc32(f"{stream}/{key}".encode()) & 0x7FFFFFFF
        shape = tuple(value.shape)
        if key.endswith("conv3d.weight"):
            noise = np.random.RandomState(seed).standard_normal(shape)
            array = noise * np.sqrt(2 / np.prod(shape[1:]))
        elif key.endswith("bn.bias"):
            array = np.random.RandomState(seed).standard_normal(shape) * 0.2
        elif key.endswith("bn.weight"):
            array = np.ones(shape)
        elif key in stats:
            array = stats[key]
        else:
            continue
        state[key] = torch.as_tensor(np.asarray(array), dtype=torch.float32)
    return state


def port_keys(real_data: Path, port: str) -> dict[str, list[int]]:
    return json.loads((real_data / "i3d" / "checkpoint_keys.json").read_text())[PORTS[port]]


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
@pytest.mark.parametrize("name", ["rgb_t8_64x96", "flow_t8_64x96", "rgb_t9_65x97_odd"])
def test_reference_outputs(real_data: Path, name: str, norm: str) -> None:
    golden = np.load(real_data / "i3d" / f"golden_{name}.npz")
    stream = name.split("_")[0]
    trunk = InceptionI3D(golden["input"].shape[1], norm=norm).eval()
    state = seeded_state(trunk, stream, real_data / "i3d" / f"bn_stats_{stream}.npz")
    assert not trunk.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        taps = trunk(torch.from_numpy(golden["input"]))
    for level, features in taps.items():
        reference = golden[level.upper()]
        assert features.shape == reference.shape
        error = np.linalg.norm(features.numpy() - reference) / np.linalg.norm(reference)
        assert error < 1e-4, f"{level}: {error}"


@pytest.mark.parametrize("port", PORTS)
def test_reads_both_ports(real_data: Path, tmp_path: Path, port: str) -> None:
    keys = port_keys(real_data, port)
    file = {k: torch.randn(s) for k, s in keys.items() if not k.endswith("num_batches_tracked")}
    torch.save(file, tmp_path / "weights.pt")
    trunk = InceptionI3D(3)
    load_i3d_weights(trunk, tmp_path / "weights.pt")
    block = {
        "piergiaj": "Mixed_4c.b2b.conv3d.weight",
        "hassony2": "mixed_4c.branch_2.1.conv3d.weight",
    }
    assert torch.equal(trunk.Mixed_4c.b2b.conv3d.weight, file[block[port]])
    stem = {
        "piergiaj": "Conv3d_1a_7x7.bn.running_var",
        "hassony2": "conv3d_1a_7x7.batch3d.running_var",
    }
    assert torch.equal(trunk.Conv3d_1a_7x7.bn.running_var, file[stem[port]])


def test_file_that_does_not_fit_names_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "flow.pt"
    torch.save(InceptionI3D(2, width=0.125).state_dict(), path)
    trunk = InceptionI3D(3, width=0.125)
    before = {k: v.clone() for k, v in trunk.state_dict().items()}
    with pytest.raises(ValueError, match=r"flow\.pt.*Conv3d_1a_7x7\.conv3d\.weight \(8, 2, 7"):
        load_i3d_weights(trunk, path)
    assert all(torch.equal(v, before[k]) for k, v in trunk.state_dict().items())
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"missing.*unexpected \(fc\.weight\)"):
        load_i3d_weights(trunk, path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04K\x01."])
def test_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pt"):
        load_i3d_weights(InceptionI3D(3, width=0.125), path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_i3d_weights(InceptionI3D(3, width=0.125), tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (64, 7, 2, (2, 3)),
        (65, 7, 2, (3, 3)),
        (32, 3, 2, (0, 1)),
        (33, 3, 2, (1, 1)),
        (4, 2, 2, (0, 0)),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("norm", ["BN", "GN"])
def test_shapes_and_gradients(norm: str) -> None:
    trunk = InceptionI3D(2, width=0.125, norm=norm)
    clip = torch.randn(2, 2, 8, 64, 96, requires_grad=True)
    taps = trunk(clip)
    for level, features in taps.items():
        time, space = STRIDES[level]
        expected = (2, trunk.out_channels[level], 8 // time, 64 // space, 96 // space)
        assert features.shape == expected
    sum(f.sum() for f in taps.values()).backward()
    assert clip.grad.abs().sum() > 0
    assert all(p.grad is not None for p in trunk.parameters())


def test_published_widths() -> None:
    assert InceptionI3D(3).out_channels == {"c2": 192, "c3": 480, "c4": 832, "c5": 1024}


def test_freeze_at() -> None:
    trunk = InceptionI3D(3, width=0.125, freeze_at=3)
    frozen = {n.split(".")[0] for n, p in trunk.named_parameters() if not p.requires_grad}
    assert frozen == {"Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "Mixed_3b", "Mixed_3c"}
    with pytest.raises(ValueError, match="from 2 to 5"):
        InceptionI3D(3, width=0.125, freeze_at=6)


def test_frozen_norm_equals_norm_in_inference() -> None:
    norm = torch.nn.BatchNorm3d(4, eps=1e-3)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    frozen = FrozenBatchNorm3d(4)
    frozen.load_state_dict(norm.state_dict())
    # T equals C, where a norm written for 4-D input would be wrong without a word.
    x = torch.randn(2, 4, 4, 5, 6)
    torch.testing.assert_close(frozen.train()(x), norm.eval()(x))
    assert not any(p.requires_grad for p in frozen.parameters())
