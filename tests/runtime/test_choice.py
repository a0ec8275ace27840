"""Which engine is taken, and what is said of one that cannot run."""

from __future__ import annotations

import pytest

from pcsc_d2.runtime import Engine, EngineError, choice, choose_engine


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    names = {"onnx", "onnxruntime", "openvino"}
    monkeypatch.setattr(choice, "find_spec", lambda name: name if name in names else None)
    return names


def test_auto_is_the_fastest_that_is_installed(installed: set[str]) -> None:
    assert choose_engine("auto") == Engine("openvino")
    installed.remove("openvino")
    assert choose_engine("auto") == Engine("onnxruntime")
    assert choose_engine("auto", device="cuda:0") == Engine("torch")
    installed.clear()
    assert choose_engine("auto") == Engine()
    with pytest.raises(EngineError, match=r"onnxruntime is not installed: .*pcsc_d2\[onnx\]"):
        choose_engine("auto", among=("openvino", "onnxruntime"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tensorrt",), "no engine tensorrt in float32; engines are torch, openvino, onnxruntime"),
        (("torch", "int8"), "no engine torch in int8"),
        (("torch", "bf16"), "engine torch runs in float32 alone; openvino has bf16"),
        (("onnxruntime", "bf16"), "engine onnxruntime runs in float32 alone"),
        (("openvino", "float32", "cuda"), "engine openvino runs on the CPU alone"),
    ],
)
def test_what_cannot_run_is_one_line(
    arguments: tuple[str, ...], message: str, installed: set[str]
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        choose_engine(*arguments)
    assert "\n" not in str(caught.value)


def test_an_engine_that_is_not_installed(installed: set[str]) -> None:
    installed.remove("onnx")
    with pytest.raises(EngineError, match=r"not installed: pip install 'pcsc_d2\[openvino\]'"):
        choose_engine("openvino")


@pytest.mark.parametrize("capable", [True, False])
def test_bf16_where_the_processor_has_it(capable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "BF16"] if capable else ["FP32"]

    monkeypatch.setattr("pcsc_d2.runtime.choice.openvino_core", Core)
    if capable:
        assert choose_engine("openvino", "bf16") == Engine("openvino", "bf16")
        return
    with pytest.raises(EngineError, match="this processor has no bf16"):
        choose_engine("openvino", "bf16")
