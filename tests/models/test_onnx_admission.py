"""An ONNX file holds standard operators and its own tensors; others are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.models.archive import METADATA
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import to_json
from pcsc_d2.models.onnx import admission, file
from pcsc_d2.models.onnx.network import OUTPUTS
from pcsc_d2.runtime import Engine
from pcsc_d2.utils.trust import VARIABLE

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
INFO = ModelInfo(("a",), clip_length=4, min_size=0, max_size=64, flow_method="dis")
KINDS = {"rgb": "UINT8", "boxes": "FLOAT", "scores": "FLOAT", "classes": "INT64"}


def made() -> onnx.ModelProto:
    """The least that is read: constants of no detection, whatever the clip."""
    helper, kinds = onnx.helper, dict.fromkeys(OUTPUTS, "FLOAT") | KINDS
    kinds["count"] = "INT64"
    shapes = {"rgb": ["n", 3, 4, "h", "w"], "boxes": [1, 1, 4], "count": [1]}
    values = {
        name: helper.make_tensor_value_info(
            name, getattr(onnx.TensorProto, kind), shapes.get(name, [1, 1])
        )
        for name, kind in kinds.items()
    }
    constants = [
        onnx.numpy_helper.from_array(
            np.zeros(shapes.get(name, [1, 1]), np.int64 if kinds[name] == "INT64" else np.float32),
            f"{name}_value",
        )
        for name in OUTPUTS
    ]
    nodes = [helper.make_node("Identity", [f"{x}_value"], [x]) for x in OUTPUTS]
    outputs = [values[name] for name in OUTPUTS]
    graph = helper.make_graph(nodes, "model", [values["rgb"]], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA: to_json(INFO)})
    return model


def load(model: onnx.ModelProto, folder: Path) -> object:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return file.load_onnx(path, Engine("onnxruntime"))


def test_the_least_is_read(tmp_path: Path) -> None:
    _, info = load(made(), tmp_path)
    assert info == INFO


def custom_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.graph.node[0].domain = "com.microsoft"


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RandomNormalLike"


def unknown_operator_in_a_branch(model: onnx.ModelProto) -> None:
    helper = onnx.helper
    inner = helper.make_node("StringNormalizer", ["x"], ["y"])
    value = helper.make_tensor_value_info("y", onnx.TensorProto.STRING, [])
    branch = helper.make_graph([inner], "branch", [], [value])
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch)
    )


def function(model: onnx.ModelProto) -> None:
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    opset = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(onnx.helper.make_function("own", "F", ["a"], ["b"], [node], opset))


def external(tensor: onnx.TensorProto) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_weights(model: onnx.ModelProto) -> None:
    external(model.graph.initializer[0])


def external_constant(model: onnx.ModelProto) -> None:
    tensor = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    node = onnx.helper.make_node("Constant", [], ["z"])
    node.attribute.append(onnx.helper.make_attribute("value", tensor))
    model.graph.node.append(node)


def nested(model: onnx.ModelProto) -> None:
    helper = onnx.helper
    value = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [])
    graph = helper.make_graph([], "last", [], [value])
    for _ in range(12):
        node = helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "branch", [], [value])
    model.graph.node.extend(graph.node)


def huge_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20, 4]


def negative_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1, 1, 4]


def other_outputs(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def name_that_is_no_text(model: onnx.ModelProto) -> None:
    # Protobuf takes no such name, but reads it.
    model.graph.node[0].op_type = "SQUEEZE_"
    broken = model.SerializeToString().replace(b"SQUEEZE_", b"SQUEEZE\xff")
    model.ParseFromString(broken)


def no_inputs(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


HOSTILE = {
    custom_domain: rf"uses 'com\.microsoft\.Identity', .*{VARIABLE}=1",
    unknown_operator: rf"uses 'RandomNormalLike', .*{VARIABLE}=1",
    unknown_operator_in_a_branch: rf"uses 'StringNormalizer', .*{VARIABLE}=1",
    function: rf"functions of its own, .*{VARIABLE}=1",
    external_weights: "asks for other files",
    external_constant: "asks for other files",
    nested: "nested more than 8 deep",
    huge_tensor: "would have 4,398,046,511,104 values",
    negative_tensor: "would have -4 values",
    other_outputs: "its inputs or outputs are not those of pcsc export",
    name_that_is_no_text: "not an ONNX file that pcsc export wrote",
    no_inputs: "its inputs or outputs are not those of pcsc export",
}


@pytest.mark.parametrize(("change", "line"), HOSTILE.items(), ids=[f.__name__ for f in HOSTILE])
def test_what_is_refused(
    change: Callable, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(file, "compile_graph", lambda *_: read.append(1))
    model = made()
    change(model)
    with pytest.raises(ModelError, match=line) as caught:
        load(model, tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "model.onnx"))
    assert "\n" not in str(caught.value)
    assert not read, "an engine read it"


def test_larger_than_files_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LARGEST", 100)
    with pytest.raises(ModelError, match="bytes are more than an ONNX file can have"):
        load(made(), tmp_path)
