"""Which engine a config's trunks run on."""

from __future__ import annotations

import pytest

from pcsc_d2.modeling.inference import LEAST_WIDTH, engine_for
from pcsc_d2.runtime import Engine, choice
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
