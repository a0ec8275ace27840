"""RAFT behind the flow interface, with random weights: what is computed is torchvision's."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchvision")
import torch
from torchvision.models import _api, optical_flow

from pcsc_d2.flow import raft as flow_raft
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import compute_flow, flow_method
from pcsc_d2.flow.raft import RAFTFlow
from pcsc_d2.flow.store import FlowStore

UPDATES = 2


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "raft.pth"
    torch.save(optical_flow.raft_small(weights=None).state_dict(), path)
    return path


@pytest.fixture
def raft(weights: Path) -> RAFTFlow:
    return RAFTFlow("raft_small", str(weights), "cpu", UPDATES)


@pytest.fixture(scope="module")
def frames(texture) -> np.ndarray:
    """4 frames of 128 x 136 whose content moves by (3, -2) pixels a frame."""
    canvas = texture(0, 160, 180)
    return np.stack([canvas[20 + 2 * i :, 20 - 3 * i :][:128, :136] for i in range(4)])


def test_is_what_torchvision_computes(raft: RAFTFlow, weights: Path, frames: np.ndarray) -> None:
    network = optical_flow.raft_small(weights=None).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        expected = network(images[:-1], images[1:], num_flow_updates=UPDATES)[-1]
    flow = compute_flow(frames, raft)
    assert flow.shape == (3, 128, 136, 2)
    assert flow.dtype == np.float32
    assert np.abs(flow).mean() > 0.01
    assert np.allclose(flow, expected.permute(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("size", [(50, 70), (131, 140)])
def test_any_size_is_padded_and_cut_again(raft: RAFTFlow, texture, size: tuple[int, int]) -> None:
    flow = compute_flow(np.stack([texture(i, *size) for i in range(2)]), raft)
    assert flow.shape == (1, *size, 2)
    left, right, top, bottom = flow_raft._padding(size)
    assert {(size[0] + top + bottom) % 8, (size[1] + left + right) % 8} == {0}
    assert min(size[0] + top + bottom, size[1] + left + right) >= 128


def test_many_pairs_at_once_and_few_give_the_same(
    raft: RAFTFlow, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = compute_flow(frames, raft)
    monkeypatch.setattr(flow_raft, "_MOST_PAIRS", 1)
    assert np.allclose(compute_flow(frames, raft), together, atol=1e-4)
    monkeypatch.setattr(flow_raft, "_MOST_PAIRS", 2)
    assert np.allclose(compute_flow(frames, raft), together, atol=1e-4)


def test_batches_follow_the_memory_that_a_pair_takes() -> None:
    assert flow_raft._pairs_at_once((240, 320)) == 16
    assert flow_raft._pairs_at_once((720, 1280)) == 1
    with pytest.raises(FlowError, match="4320 x 7680 pixels are too large for RAFT"):
        flow_raft._pairs_at_once((4320, 7680))


def test_store_keeps_it_apart_by_weights(
    tmp_path: Path, weights: Path, raft: RAFTFlow, encode, frames: np.ndarray
) -> None:
    video = encode(tmp_path / "v.mp4", frames)
    store = FlowStore(tmp_path / "flow", raft)
    assert store.precompute([("v", video)], processes=2).made == 1
    assert (tmp_path / "flow/raft_small/v.zip").is_file()
    flow = pickle.loads(pickle.dumps(store)).read(video, "v", [0, 2])
    on_the_fly = FlowStore(None, raft).read(video, "v", [0, 2])
    assert np.abs(flow - on_the_fly).max() < 0.2  # a code apart, where rounding falls differently
    other = tmp_path / "other.pth"
    torch.manual_seed(1)
    torch.save(optical_flow.raft_small(weights=None).state_dict(), other)
    with pytest.raises(FlowError, match=r"version 1, weights \w+, 2 updates, wanted 1"):
        FlowStore(tmp_path / "flow", RAFTFlow("raft_small", str(other), "cpu", UPDATES)).read(
            video, "v", [0]
        )


def test_weights_that_cannot_be_used_are_said_in_one_line(
    tmp_path: Path, weights: Path, frames: np.ndarray
) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"a": Hostile()}, tmp_path / "hostile.pth")
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:1000])
    for name, path, message in (
        ("raft_small", tmp_path / "none.pth", "no such file of RAFT weights"),
        ("raft_small", tmp_path / "hostile.pth", "cannot be read as weights"),
        ("raft_small", tmp_path / "cut.pth", "cannot be read as weights"),
        ("raft_large", weights, "not the weights of torchvision's raft_large"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            compute_flow(frames, flow_method(name, str(path), "cpu"))
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


def test_hub(weights: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(_api, "load_state_dict_from_url", offline)
    flow_raft._network.cache_clear()
    method = flow_method("raft_small", device="cpu")
    with pytest.raises(ValueError, match="raft_small: its weights cannot be fetched from") as error:
        compute_flow(frames, method)
    assert "\n" not in str(error.value)
    asked = []

    def online(url: str, **options: object) -> dict:
        asked.append((url, options))
        return torch.load(weights, weights_only=True)

    monkeypatch.setattr(_api, "load_state_dict_from_url", online)
    assert compute_flow(frames[:2], method).shape == (1, 128, 136, 2)
    ((url, options),) = asked
    assert options["weights_only"]
    assert options["check_hash"]
    assert url.split("-")[-1].removesuffix(".pth") in method.version
    flow_raft._network.cache_clear()


def test_gpu_in_a_loading_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    with pytest.raises(ValueError, match=r"INPUT\.FLOW\.CACHE"):
        flow_raft._device("cuda")
    assert flow_raft._device("cpu").type == "cpu"


def test_torch_is_imported_when_fields_are_asked_for(weights: Path) -> None:
    code = (
        "import sys, numpy as np; from pcsc_d2.flow import compute_flow, methods\n"
        "method = methods.flow_method('raft_small', sys.argv[1], 'cpu'); method.version\n"
        "frames = np.zeros((2, 130, 130, 3), np.uint8); compute_flow(frames, 'dis')\n"
        "assert 'torch' not in sys.modules\n"
        "compute_flow(frames, method)\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(weights)], check=True)
