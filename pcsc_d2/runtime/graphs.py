"""From a module to an ONNX graph, and from a graph to what an engine runs."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from pcsc_d2.runtime.choice import Engine, EngineError
from pcsc_d2.runtime.openvino_core import openvino_core
from pcsc_d2.utils.cache import cache_folder
from pcsc_d2.utils.text import one_line

# Has ROIAlign with aligned corners (16) and what reductions over indices need (16, 18 differs);
# ONNX Runtime 1.12 and TensorRT 8.6 read it.
OPSET = 17

# Inputs by name -> outputs in order.
Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]


@torch.no_grad()
def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> bytes:
    """A traced, scripted or plain module as an ONNX file's bytes.

    It is torch's exporter of TorchScript, since the heads that it is given are traced.

    Args:
        module: in evaluation mode.
        inputs: an example of each input, by the name that it gets, in order.
        outputs: names.
        free: axes whose size is free, and their names, by input or output.
    """
    file = io.BytesIO()
    with warnings.catch_warnings():
        # What tracing cannot record is named in its warnings; the outcome is compared instead.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
        )
    return file.getvalue()


def compile_graph(model: bytes, engine: Engine) -> Run:
    """What runs the graph of an ONNX file on the CPU, with as many threads as torch uses.

    Inputs that the graph does not have are passed over.

    Raises:
        EngineError: the engine cannot read the graph.
    """
    compilers = {"onnxruntime": _with_onnxruntime, "openvino": _with_openvino}
    try:
        return compilers[engine.name](model, engine.precision)
    except Exception as error:  # each engine has classes of its own
        raise EngineError(f"{engine.name} cannot run the graph: {one_line(error)}") from error


def _with_onnxruntime(model: bytes, precision: str) -> Run:
    del precision  # float32, see choose_engine
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda inputs: session.run(None, {name: inputs[name] for name in names})


def _with_openvino(model: bytes, precision: str) -> Run:
    core = openvino_core()
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Said in any case: where the processor has bf16 it would be the default.
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        # Its key has the graph, the engine's version, the processor and the settings.
        "CACHE_DIR": str(cache_folder("openvino")),
    }
    network = core.read_model(io.BytesIO(model))
    compiled = core.compile_model(network, "CPU", settings)
    # An input may have more names, of what the engine has found to be the same.
    names = [each.names for each in compiled.inputs]

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        given = {i: inputs[next(iter(known & inputs.keys()))] for i, known in enumerate(names)}
        found = compiled(given, share_inputs=True)
        return [found[output] for output in compiled.outputs]

    return run


def digest(module: nn.Module, *more: object) -> str:
    """A name for what is made from a module: of its weights, its structure and ``more``."""
    hashed = hashlib.sha256(repr((str(module), torch.__version__, OPSET, *more)).encode())
    for name, values in module.state_dict().items():
        hashed.update(name.encode())
        hashed.update(values.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:32]
