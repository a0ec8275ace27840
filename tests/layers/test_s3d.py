"""S3D and S3D-G: parity with torchvision, layouts of published weights, gates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.video import s3d

from pcsc_d2.layers import InceptionI3D, SeparableI3D, load_s3d_weights
from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import STRIDES
from pcsc_d2.layers.s3d import trunk_name
from pcsc_d2.layers.window_trunk import trunk_parts

# Of torchvision's features, behind which the taps are.
LAST = {"c2": 3, "c3": 6, "c4": 12, "c5": 15}


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """torchvision's network with random weights, norms included."""
    torch.manual_seed(0)
    network = s3d(num_classes=7).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
        elif isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
    return network


@torch.no_grad()
def test_parity_with_torchvision_at_every_tap(published: nn.Module, tmp_path: Path) -> None:
    torch.save(published.state_dict(), tmp_path / "s3d.pth")
    trunk = SeparableI3D(3).eval()
    load_s3d_weights(trunk, tmp_path / "s3d.pth")
    clip = torch.rand(1, 3, 16, 64, 96) * 2 - 1
    maps, x = trunk(clip), clip
    for i, module in enumerate(published.features):
        x = module(x)
        for level in (k for k, last in LAST.items() if last == i):
            assert maps[level].shape == x.shape
            assert (maps[level] - x).norm() < 1e-5 * x.norm()
            assert (maps[level] - x).abs().max() < 1e-5 * x.abs().max()
    before = trunk(clip)["c5"]
    assert fold_norms(trunk) > 60
    assert torch.allclose(trunk(clip)["c5"], before, rtol=1e-3, atol=1e-4 * before.abs().max())


def test_has_as_many_parameters_as_published(published: nn.Module) -> None:
    ours = sum(p.numel() for p in SeparableI3D(3).parameters())
    assert ours == sum(p.numel() for p in published.features.parameters())


@torch.no_grad()
@pytest.mark.parametrize("variant", ["torchvision", "howto100m"])
@pytest.mark.parametrize("size", [(4, 32, 64), (8, 64, 32)])
def test_strides_are_those_of_i3d(variant: str, size: tuple[int, int, int]) -> None:
    trunk = SeparableI3D(2, width=0.0625, norm="GN", variant=variant)
    for level, x in trunk(torch.randn(1, 2, *size)).items():
        time, space = STRIDES[level]
        expected = (max(1, size[0] // time), size[1] // space, size[2] // space)
        assert tuple(x.shape[2:]) == expected
        assert x.shape[1] == trunk.out_channels[level]


def port_names(trunk: SeparableI3D) -> dict[str, torch.Tensor]:
    """The trunk's state under the names of the HowTo100M port, with what it has besides."""
    names = {}
    for key in trunk.state_dict():
        *places, leaf = key.split(".")
        separable = "spatial" in places or "temporal" in places
        number = "2" if "temporal" in places else "1"
        part = {"conv3d": f"conv{number}", "bn": f"bn{number}", "fc": "fc"}[places[-1]]
        block = places[0]
        if block == "Conv3d_1a_7x7":
            theirs = f"conv1.{part}"
        elif block == "Conv3d_2c_3x3" and "gate" in places:
            theirs = "gating.fc"
        elif block.startswith("Conv3d"):
            theirs = f"conv_{block.split('_')[1]}.{part}"
        elif "gate" in places or places[1][0] == "g":
            theirs = f"mixed_{block[-2:]}.gating_b{places[1][1]}.fc"
        else:
            branch = places[1]
            suffix = f"_{branch[2]}" if len(branch) == 3 else ""
            theirs = f"mixed_{block[-2:]}.conv_b{branch[1]}{suffix}.{part}"
        assert separable or number == "1"
        names[f"{theirs}.{leaf}"] = trunk.state_dict()[key]
    return names | {"fc.weight": torch.zeros(3, 3), "text_module.fc1.bias": torch.zeros(2)}


def test_layout_of_the_published_port(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trunk = SeparableI3D(3, width=0.125, variant="howto100m")
    state = port_names(trunk)
    # Some names as its file has them.
    assert {"conv1.conv1.weight", "conv_2c.bn2.running_var", "gating.fc.weight"} <= set(state)
    assert {"mixed_3b.conv_b1_b.conv2.weight", "mixed_5c.gating_b3.fc.bias"} <= set(state)
    torch.save(state, tmp_path / "port.pth")
    again = SeparableI3D(3, width=0.125, variant="howto100m")
    load_s3d_weights(again, tmp_path / "port.pth")
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in trunk.state_dict().items())
    assert trunk_name("mixed_4b.conv_b0.bn1.weight") == "Mixed_4b.b0.bn.weight"


@torch.no_grad()
@pytest.mark.parametrize("variant", ["torchvision", "howto100m"])
def test_weights_of_rgb_start_flow_along_directions(variant: str, tmp_path: Path) -> None:
    rgb = SeparableI3D(3, width=0.125, variant=variant).eval()
    torch.save(rgb.state_dict(), tmp_path / "rgb.pth")
    flow = SeparableI3D(2, width=0.125, variant=variant).eval()
    load_s3d_weights(flow, tmp_path / "rgb.pth")
    grey = torch.rand(1, 1, 8, 32, 32)
    theirs = first_convolution(rgb, (grey / 3).expand(-1, 3, -1, -1, -1))
    u, v = (
        first_convolution(flow, clip)
        for clip in (F.pad(grey, (0,) * 7 + (1,)), F.pad(grey, (0,) * 6 + (1, 0)))
    )
    # The first kernel looks along u; all see a step of one pixel alike, whatever its direction.
    assert torch.allclose(u[:, 0], 2**0.5 * theirs[:, 0], atol=1e-5)
    assert torch.allclose(v[:, 0], torch.zeros(()), atol=1e-5)
    assert torch.allclose(u**2 + v**2, 2 * theirs**2, atol=1e-4)


def first_convolution(trunk: SeparableI3D, clip: torch.Tensor) -> torch.Tensor:
    """What the first convolution makes of a clip."""
    found: list[torch.Tensor] = []
    convolution = next(m for m in trunk.modules() if isinstance(m, torch.nn.Conv3d))
    handle = convolution.register_forward_hook(lambda *args: found.append(args[2]))
    trunk(clip)
    handle.remove()
    return found[0]


@torch.no_grad()
def test_gates_scale_channels() -> None:
    torch.manual_seed(0)
    plain = SeparableI3D(3, width=0.125).eval()
    gated = SeparableI3D(3, width=0.125, gating=True).eval()
    gates = {k: v for k, v in gated.state_dict().items() if ".fc." in k}
    assert len(gates) == 2 * (1 + 9 * 4)
    gated.load_state_dict(plain.state_dict() | {k: torch.zeros_like(v) for k, v in gates.items()})
    clip = torch.randn(1, 3, 8, 32, 32)
    # With zeros in them every gate is a half.
    assert torch.allclose(gated(clip)["c2"], plain(clip)["c2"] / 2, atol=1e-6)
    gated.Conv3d_2c_3x3.gate.fc.bias[0] = 100.0
    assert torch.allclose(gated(clip)["c2"][:, 0], plain(clip)["c2"][:, 0], atol=1e-6)


def test_bad_input_is_one_line(published: nn.Module, tmp_path: Path) -> None:
    torch.save(InceptionI3D(3, width=0.125).state_dict(), tmp_path / "i3d.pth")
    with pytest.raises(ValueError, match=r"does not fit this S3D trunk: .* missing") as error:
        load_s3d_weights(SeparableI3D(3, width=0.125), tmp_path / "i3d.pth")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="VARIANT is one of"):
        SeparableI3D(3, variant="kinetics")
    with pytest.raises(ValueError, match="has no modules by I3D's names"):
        trunk_parts(nn.Sequential(nn.ReLU()))
