"""Which engine a config's trunks run on."""

from __future__ import annotations

import logging

import pytest
import torch

from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.modeling import inference
from pcsc_d2.modeling.inference import LEAST_WIDTH, engine_for, prepare_trunk
from pcsc_d2.runtime import Engine, EngineError, choice
from tests.tiny import tiny_config


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: name)


@pytest.mark.parametrize(("width", "name"), [(LEAST_WIDTH / 2, "torch"), (1.0, "openvino")])
def test_auto_leaves_small_trunks_to_torch(width: float, name: str) -> None:
    cfg = tiny_config(["MODEL.I3D.WIDTH", width])
    assert engine_for(cfg, "auto") == Engine(name)
    assert engine_for(cfg, "onnxruntime") == Engine("onnxruntime")
    assert engine_for(cfg, "torch") == Engine()


def test_auto_is_torch_on_a_gpu() -> None:
    cfg = tiny_config(["MODEL.I3D.WIDTH", 1.0, "MODEL.DEVICE", "cuda"])
    assert engine_for(cfg, "auto") == Engine()


@torch.no_grad()
def test_torch_takes_the_place_of_an_engine_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot(*_: object) -> None:
        raise EngineError("openvino cannot run the graph: why")

    monkeypatch.setattr(inference, "compile_trunk", cannot)
    trunk = InceptionI3D(3, width=0.0625).eval()
    clip = torch.rand(1, 3, 4, 32, 32)
    expected = trunk(clip)["c5"]
    with pytest.raises(EngineError, match="cannot run the graph"):
        prepare_trunk(trunk, 4, Engine("openvino"))
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        assert prepare_trunk(trunk, 4, Engine("openvino"), required=False) == Engine()
    assert "cannot run the graph: why; torch runs the trunk" in caplog.text
    torch.testing.assert_close(trunk(clip)["c5"], expected, atol=1e-5, rtol=1e-4)
