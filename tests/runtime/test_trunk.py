"""A trunk on an engine gives what it gives in torch, on clips and on windows."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.window_trunk import WindowTrunk, trunk_parts
from pcsc_d2.runtime import Engine, EngineError, is_installed
from pcsc_d2.runtime.graphs import compile_graph
from pcsc_d2.runtime.trunk import compile_trunk


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    return tmp_path


def trunk_of(context: int = 0) -> InceptionI3D:
    torch.manual_seed(0)
    return InceptionI3D(3, width=0.0625, norm="BN", context=context).eval()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@torch.no_grad()
def test_clips_and_windows_as_in_torch(name: str, cache: Path) -> None:
    if not is_installed(name):
        pytest.skip(f"{name} is not installed")
    trunk = trunk_of(context=4)
    compiled = deepcopy(trunk)
    compile_trunk(compiled, Engine(name), 16)
    clips = torch.rand(2, 3, 16, 64, 96) * 2 - 1
    expected = trunk(clips)
    for level, found in compiled(clips).items():
        assert found.shape == expected[level].shape
        torch.testing.assert_close(found, expected[level], atol=1e-5, rtol=1e-4)
    window = torch.rand(1, 3, 21, 32, 32) * 2 - 1
    run, same = (
        WindowTrunk(trunk_parts(t), 16, context=4).window(window, [0, 1, 3, 4, 5], 2, 2)
        for t in (compiled, trunk)
    )
    for found, expected in zip(run, same):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert len(list((cache / "trunks").glob("*.onnx"))) == 4


def test_graphs_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_installed("onnxruntime"):
        pytest.skip("onnxruntime is not installed")
    made = []
    monkeypatch.setattr("pcsc_d2.runtime.trunk.to_onnx", lambda *_: made.append(1) or b"graph")
    monkeypatch.setattr("pcsc_d2.runtime.trunk.compile_graph", lambda graph, _: graph)
    for _ in range(2):
        compile_trunk(trunk_of(), Engine("onnxruntime"), 8)
        assert len(made) == 4
    other = trunk_of()
    other.Mixed_5c.b0.conv3d.weight.data.add_(1)
    compile_trunk(other, Engine("onnxruntime"), 8)
    assert len(made) == 5


def test_a_graph_that_cannot_be_read_is_one_line() -> None:
    if not is_installed("onnxruntime"):
        pytest.skip("onnxruntime is not installed")
    with pytest.raises(EngineError, match="onnxruntime cannot run the graph") as caught:
        compile_graph(b"nothing", Engine("onnxruntime"))
    assert "\n" not in str(caught.value)
