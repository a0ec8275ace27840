"""A graph as ``pcsc export`` writes them, in small, and what a hostile one may have instead."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pcsc_d2.models.onnx.admission import OPERATORS

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

NUMBERS = [0, -1, 1, 2, 3, 7, 1 << 20, -(1 << 20), 1 << 31, 1 << 40, -(1 << 62), (1 << 63) - 1]
TEXTS = [b"", b"\xff", b"x" * 1000]
_OUTPUTS = {
    "boxes": (1, 4, 4),
    "scores": (1, 4),
    "classes": (1, 4),
    "actionness": (1, 4),
    "count": (1,),
}


def good_model(about: str) -> ModelProto:
    """A few operators of each kind: pixels to a map, boxes on it, the best of them.

    Args:
        about: metadata.
    """
    from onnx import TensorProto, helper, numpy_helper

    def node(kind: str, given: str, made: str, **options: object) -> object:
        return helper.make_node(kind, given.split(), made.split(), **options)

    nodes = [
        node("Cast", "rgb", "pixels", to=TensorProto.FLOAT),
        node("Conv", "pixels kernel", "convolved", strides=[2, 2, 2], pads=[0, 1, 1, 0, 1, 1]),
        node("Relu", "convolved", "positive"),
        node("MaxPool", "positive", "pooled", kernel_shape=[1, 2, 2], strides=[1, 2, 2]),
        node("ReduceMean", "pooled", "map", axes=[2], keepdims=0),
        node("RoiAlign", "map corners images", "parts", output_height=3, output_width=3),
        node("Flatten", "parts", "rows"),
        node("Gemm", "rows layer", "logits"),
        node("Softmax", "logits", "shares", axis=0),
        node("Transpose", "shares", "by_class", perm=[1, 0]),
        node("TopK", "by_class four", "scores order"),
        node("Gather", "corners order", "boxes"),
        node("Cast", "order", "classes", to=TensorProto.INT64),
        node("Identity", "scores", "actionness"),
        node("Identity", "one", "count"),
    ]
    rng = np.random.default_rng(0)
    corners = np.float32([[0, 0, 4 + i, 5 + i] for i in range(5)])
    constants = {
        "kernel": rng.normal(size=(4, 3, 2, 3, 3)).astype(np.float32),
        "layer": rng.normal(size=(36, 1)).astype(np.float32),
        "corners": corners,
        "images": np.zeros(5, np.int64),
        "four": np.int64([4]),
        "one": np.int64([1]),
    }
    whole = {"classes", "count"}
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("rgb", TensorProto.UINT8, [1, 3, 8, "h", "w"])],
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, shape
            )
            for name, shape in _OUTPUTS.items()
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"pcsc_d2.json": about})
    return model


def change(model: ModelProto, rng: random.Random) -> None:
    """Change a graph in place as whoever means harm could, and stay with known operators."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        rng.choice(_WAYS)(model.graph, rng)
    if rng.random() < 0.05:
        model.opset_import[0].version = rng.choice([0, 1, 7, 13, 18, 1000, -1])


def _other_input(graph: GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    names = [name for each in graph.node for name in each.output]
    node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "none"])


def _fewer_inputs(graph: GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    if len(node.input) > 1:
        del node.input[rng.randrange(len(node.input))]


def _other_operator(graph: GraphProto, rng: random.Random) -> None:
    rng.choice(graph.node).op_type = rng.choice(sorted(OPERATORS))


def _fewer_nodes(graph: GraphProto, rng: random.Random) -> None:
    if len(graph.node) > 1:
        graph.node.remove(rng.choice(graph.node))


def _circle(graph: GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    node.output[0] = rng.choice([*node.input, "none"])


def _other_attribute(graph: GraphProto, rng: random.Random) -> None:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if attributes:
        _change_attribute(rng.choice(attributes), rng)


def _change_attribute(attribute: AttributeProto, rng: random.Random) -> None:
    if attribute.type == attribute.INTS:
        attribute.ints.append(rng.choice(NUMBERS))
        if len(attribute.ints) > 1 and rng.random() < 0.7:
            attribute.ints[rng.randrange(len(attribute.ints))] = attribute.ints.pop()
    elif attribute.type == attribute.INT:
        attribute.i = rng.choice(NUMBERS)
    else:
        attribute.s = rng.choice(TEXTS)


def _other_type(graph: GraphProto, rng: random.Random) -> None:
    kind = rng.choice([*graph.input, *graph.output]).type.tensor_type
    if rng.random() < 0.5:
        kind.elem_type = rng.randrange(20)
    elif kind.shape.dim:
        kind.shape.dim[rng.randrange(len(kind.shape.dim))].dim_value = rng.choice(NUMBERS)


def _other_tensor(graph: GraphProto, rng: random.Random) -> None:
    if graph.initializer:
        _change_tensor(rng.choice(graph.initializer), rng)


def _change_tensor(tensor: TensorProto, rng: random.Random) -> None:
    way = rng.randrange(6)
    if way == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif way == 1:
        tensor.data_type = rng.randrange(24)
    elif way == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif way == 3:
        tensor.dims[:] = rng.sample(list(tensor.dims), len(tensor.dims))
    elif way == 4:
        tensor.data_location = tensor.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice(["/etc/passwd", "../x", ""]))
    elif len(tensor.raw_data) >= 8:
        place = rng.randrange(len(tensor.raw_data) // 8) * 8
        number = rng.choice(NUMBERS).to_bytes(8, "little", signed=True)
        tensor.raw_data = tensor.raw_data[:place] + number + tensor.raw_data[place + 8 :]


_WAYS: list[Callable[[GraphProto, random.Random], None]] = [
    _other_input, _fewer_inputs, _other_operator, _fewer_nodes, _circle, _other_type,
    *[_other_attribute] * 3, *[_other_tensor] * 4,
]  # fmt: skip
