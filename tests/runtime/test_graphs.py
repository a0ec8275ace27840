"""What is left of an engine when its graphs are gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pcsc_d2.runtime import is_installed

# Graphs that go in the order in which they came, then a signal that has a handler.
PROGRAM = """
import os, signal, torch
from pcsc_d2.runtime import Engine
from pcsc_d2.runtime.graphs import compile_graph, to_onnx

layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
graph = to_onnx(layer, {"x": x}, ["y"], {})
first, second = (compile_graph(graph, Engine(ENGINE, "float32")) for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_signals_are_handled_after_graphs(name: str) -> None:
    if not is_installed(name):
        pytest.skip(f"{name} is not installed")
    program = PROGRAM.replace("ENGINE", repr(name))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
