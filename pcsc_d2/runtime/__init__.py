"""Engines that run a network on a CPU faster than torch does: ONNX Runtime and OpenVINO.

They are imported where one is asked for, and come with the extras ``onnx`` and ``openvino``.
"""

from pcsc_d2.runtime.choice import (
    COMPILERS,
    ENGINES,
    PRECISIONS,
    Engine,
    EngineError,
    choose_engine,
    is_installed,
)

__all__ = [
    "COMPILERS",
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineError",
    "choose_engine",
    "is_installed",
]
