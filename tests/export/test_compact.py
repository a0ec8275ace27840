"""Exported files without what the Kinetics weights hold, and with weights in fewer bits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.export import ModelInfo, load_archive, save_archive
from pcsc_d2.export.compact import Compact, compact
from pcsc_d2.export.comparison import TOLERANCE, distance
from pcsc_d2.export.tracing import to_network
from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.model_zoo.kinetics import kinetics_file
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.models.packing import NOTE
from pcsc_d2.utils.weights import save_tensors
from tests.tiny import tiny_config, tiny_input

INFO = ModelInfo(tuple("abcd"), clip_length=8, min_size=64, max_size=100, flow_method="dis")
WIDTH = 0.125


def save_kinetics(seed: int = 0) -> None:
    """Weights of a small trunk, where the Kinetics weights are kept."""
    torch.manual_seed(seed)
    trunk = InceptionI3D(3, WIDTH, "FrozenBN")
    for name, buffer in trunk.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2)
    state = {k: v for k, v in trunk.state_dict().items() if "batches_tracked" not in k}
    width = trunk.out_channels["c5"]
    head = {"logits.conv3d.weight": torch.randn(400, width, 1, 1, 1)}
    head["logits.conv3d.bias"] = torch.randn(400)
    save_tensors(kinetics_file(), {"state_dict": state | head})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    save_kinetics()
    return tmp_path / "cache"


@pytest.fixture
def model() -> TwoStreamRCNN:
    """Trunks from Kinetics weights; of flow's the statistics and a block's kernel are its own."""
    options = ["MODEL.I3D.WIDTH", WIDTH, "MODEL.I3D.NORM", "FrozenBN"]
    options += ["MODEL.RGB.WEIGHTS", "kinetics", "MODEL.FLOW.WEIGHTS", "kinetics"]
    options += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.22]
    made = build_model(tiny_config(options)).eval()
    trunk = made.flow.backbone.bottom_up.trunk
    with torch.no_grad():
        for name, buffer in trunk.named_buffers():
            if "running" in name:
                buffer.mul_(1.1)
        trunk.Mixed_5c.b1b.conv3d.weight.mul_(0.9)
        for module in (made.roi_heads, made.rgb.proposal_generator, made.flow.proposal_generator):
            for parameter in module.parameters():
                parameter += 0.03 * torch.randn_like(parameter)
    return made


@pytest.fixture
def save(model: TwoStreamRCNN, tmp_path: Path) -> Callable[..., tuple[Compact, Path]]:
    def make(from_kinetics: bool = True, stored: str = "float32") -> tuple[Compact, Path]:
        ready = compact(model, from_kinetics, stored)
        path = tmp_path / "model.pt"
        save_archive(to_network(ready.model, 8), INFO, path, ready.packed, ready.kinetics)
        return ready, path

    return make


def apart(model: TwoStreamRCNN, path: Path) -> float:
    """How far a file's network is off a model."""
    inputs = [tiny_input(seed) for seed in range(2)]
    network = load_archive(path)[0]
    found = network(*(torch.stack([x[key] for x in inputs]) for key in ("rgb", "flow")))
    return max(distance(x["instances"], y) for x, y in zip(model(inputs), found))


def records(path: Path) -> list[dict]:
    with zipfile.ZipFile(path) as file:
        (note,) = [name for name in file.namelist() if name.endswith(NOTE)]
        return list(json.loads(file.read(note))["records"].values())


def test_kernels_of_kinetics_are_left_out_and_filled_in(
    model: TwoStreamRCNN, save: Callable[..., tuple[Compact, Path]]
) -> None:
    whole = save(from_kinetics=False)[1].stat().st_size
    _, path = save()
    kernels = [entry["kernel"] for entry in records(path)]
    units = {name for name, _ in kernels}
    assert len(units) == 57
    # All of RGB's; of flow's all but the one that was trained, and the stem, which is not RGB's.
    assert {name for name, channels in kernels if channels == 2} == units - {
        "Mixed_5c.b1b.conv3d.weight",
        "Conv3d_1a_7x7.conv3d.weight",
    }
    left_out = sum(p.numel() for p in model.rgb.backbone.bottom_up.trunk.parameters()) * 4
    assert whole - path.stat().st_size > 1.7 * left_out
    assert apart(model, path) < TOLERANCE


@pytest.mark.parametrize(("stored", "from_kinetics"), [("float16", False), ("int8", True)])
def test_weights_in_fewer_bits(
    stored: str,
    from_kinetics: bool,
    model: TwoStreamRCNN,
    save: Callable[..., tuple[Compact, Path]],
) -> None:
    before = {name: values.clone() for name, values in model.state_dict().items()}
    ready, path = save(from_kinetics, stored)
    assert apart(ready.model, path) < TOLERANCE
    assert {entry.get("values") for entry in records(path)} - {None} == {stored}
    assert any("kernel" in entry for entry in records(path)) == from_kinetics
    # Nothing large is left as it was.
    with zipfile.ZipFile(path) as file:
        sizes = [part.file_size for part in file.infolist() if "/constants/" in part.filename]
    assert max(sizes) < 4 * 4096
    worst = {"float16": 2**-11, "int8": 1 / 254}[stored]
    weight, rounded = first_fc(model), first_fc(ready.model)
    assert 0 < (weight - rounded).abs().max() <= 1.001 * worst * weight.abs().max()
    # The model itself stays as it is.
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


def first_fc(model: TwoStreamRCNN) -> torch.Tensor:
    weights = [p for name, p in model.roi_heads.named_parameters() if name.endswith("fc1.weight")]
    return weights[0]
