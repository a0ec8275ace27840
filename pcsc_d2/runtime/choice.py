"""Which engine runs a network, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from pcsc_d2.runtime.openvino_core import openvino_core

# The fastest on a CPU first.
COMPILERS = ("openvino", "onnxruntime")
ENGINES = ("torch", *COMPILERS, "auto")
PRECISIONS = ("float32", "bf16")
# The extra that brings an engine, with the package that it reads its graphs with.
EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}


class EngineError(ValueError):
    """An engine that cannot run here; one line that says what to do."""


@dataclass(frozen=True)
class Engine:
    """What runs a network.

    Attributes:
        name: ``"torch"``, ``"onnxruntime"`` or ``"openvino"``.
        precision: ``"float32"`` or ``"bf16"``.
    """

    name: str = "torch"
    precision: str = "float32"

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


def choose_engine(
    name: str = "torch",
    precision: str = "float32",
    device: str | torch.device = "cpu",
    among: tuple[str, ...] = ("torch", *COMPILERS),
) -> Engine:
    """The engine of a name, if it can run here.

    Args:
        name: one of ``ENGINES``; ``"auto"`` is the fastest that is installed on a CPU, and torch on
            a GPU.
        precision: one of ``PRECISIONS``.
        device: where the network is to run.
        among: those that can run the network in question.

    Raises:
        EngineError: it is not installed, does not run on the device or in the precision, or
            cannot run the network.
    """
    if name not in ENGINES or precision not in PRECISIONS:
        known = f"engines are {', '.join(ENGINES)}, precisions {', '.join(PRECISIONS)}"
        raise EngineError(f"no engine {name} in {precision}; {known}")
    on_cpu = torch.device(device).type == "cpu"
    if name == "auto":
        name = _fastest(among) if on_cpu else "torch"
    if name not in among:
        raise EngineError(f"engine {name} does not run this; take {' or '.join(among)}")
    if name != "torch":
        _check_installed(name)
        if not on_cpu:
            raise EngineError(f"engine {name} runs on the CPU alone; give --device cpu with it")
    if precision == "bf16":
        _check_bf16(name)
    return Engine(name, precision)


def is_installed(name: str) -> bool:
    """Whether an engine and what it reads graphs with are there."""
    return name == "torch" or all(find_spec(package) is not None for package in (name, "onnx"))


def _fastest(among: tuple[str, ...]) -> str:
    found = [name for name in (*COMPILERS, "torch") if name in among and is_installed(name)]
    return found[0] if found else among[-1]


def _check_installed(name: str) -> None:
    if not is_installed(name):
        install = f"pip install 'pcsc_d2[{EXTRAS[name]}]'"
        raise EngineError(f"engine {name} is not installed: {install}")


def _check_bf16(name: str) -> None:
    if name != "openvino":
        raise EngineError(f"engine {name} runs in float32 alone; openvino has bf16")
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        reason = "this processor has no bf16 (avx512_bf16 or amx_bf16)"
        raise EngineError(f"{reason}; take --precision float32")
