"""An ONNX graph for one clip made one for any number of clips, by a loop, and back.

The inner graph's inputs and outputs have the prefix ``one_``: its inputs are of one clip,
(1, C, T, h, w), its outputs have no axis for clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

PREFIX = "one_"


def takes_one_clip(model: ModelProto) -> bool:
    """Whether the graph takes one clip at a time."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def for_one_clip(model: ModelProto) -> None:
    """Give an inner graph its outer inputs and outputs, with an axis of one clip, in place."""
    from onnx import helper

    given, made = list(model.graph.input), list(model.graph.output)
    before = [helper.make_node("Identity", [_outer(x)], [x.name]) for x in given]
    after = _unsqueezed([(x.name, _outer(x)) for x in made])
    _replace(model, [*before, *model.graph.node, *after], given, made, 1)


def for_any_clips(model: ModelProto) -> None:
    """Put an inner graph into a loop over the clips, in place; its weights stay outside."""
    from onnx import TensorProto, helper

    given, made = list(model.graph.input), list(model.graph.output)
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    go_on = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
    goes_on = helper.make_tensor_value_info("goes_on", TensorProto.BOOL, [])
    inner = [helper.make_node("Identity", ["go_on"], ["goes_on"]), _integers("inner_axis", [0])]
    for x in given:
        inner.append(helper.make_node("Gather", [_outer(x), "turn"], [f"{x.name}_flat"], axis=0))
        inner.append(helper.make_node("Unsqueeze", [f"{x.name}_flat", "inner_axis"], [x.name]))
    inner += model.graph.node
    # What is known of tensors inside is said inside, and is used where the graph is cut.
    known = list(model.graph.value_info)
    del model.graph.value_info[:]
    body = helper.make_graph(inner, "clip", [turn, go_on], [goes_on, *made], value_info=known)
    outer = [
        _integers("first_axis", [0]),
        helper.make_node("Shape", [_outer(given[0])], ["sizes"], start=0, end=1),
        helper.make_node("Squeeze", ["sizes", "first_axis"], ["clips"]),
        helper.make_node("Loop", ["clips", ""], [_outer(x) for x in made], body=body),
    ]
    _replace(model, outer, given, made, "clips")


def without_loop(model: ModelProto) -> None:
    """Make a graph from :func:`for_any_clips` one for one clip, in place."""
    from onnx import TensorProto, helper

    [loop] = [node for node in model.graph.node if node.op_type == "Loop"]
    [body] = [each.g for each in loop.attribute if each.name == "body"]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    before = [_integers("turn", 0), helper.make_node("Constant", [], ["go_on"], value=yes)]
    scans = [(x.name, y) for x, y in zip(body.output[1:], loop.output)]
    given, made = list(model.graph.input), list(model.graph.output)
    nodes = [*before, *body.node, *_unsqueezed(scans)]
    model.graph.value_info.extend(body.value_info)
    _replace(model, nodes, given, made, 1, add_axis=False)


def _outer(value: ValueInfoProto) -> str:
    return value.name.removeprefix(PREFIX)


def _integers(name: str, values: int | list[int]) -> NodeProto:
    from onnx import TensorProto, helper

    flat = [values] if isinstance(values, int) else values
    shape = [] if isinstance(values, int) else [len(values)]
    value = helper.make_tensor(name, TensorProto.INT64, shape, flat)
    return helper.make_node("Constant", [], [name], value=value)


def _unsqueezed(names: Sequence[tuple[str, str]]) -> list[NodeProto]:
    from onnx import helper

    nodes = [helper.make_node("Unsqueeze", [x, "clip_axis"], [y]) for x, y in names]
    return [_integers("clip_axis", [0]), *nodes]


def _replace(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    given: Sequence[ValueInfoProto],
    made: Sequence[ValueInfoProto],
    clips: int | str,
    add_axis: bool = True,
) -> None:
    """Make the graph one of other nodes, inputs and outputs, whose first axis has so many clips.

    Args:
        add_axis: outputs have no such axis yet.
    """
    from onnx import helper

    graph = model.graph
    inputs = [_described(x, [clips, *_sizes(x)[1:]]) for x in given]
    outputs = [_described(x, [clips, *_sizes(x)[0 if add_axis else 1 :]]) for x in made]
    known = {"value_info": graph.value_info}
    whole = helper.make_graph(nodes, graph.name, inputs, outputs, graph.initializer, **known)
    graph.CopyFrom(whole)


def _described(value: ValueInfoProto, sizes: list[int | str | None]) -> ValueInfoProto:
    from onnx import helper

    kind = value.type.tensor_type.elem_type
    return helper.make_tensor_value_info(_outer(value), kind, sizes)


def _sizes(value: ValueInfoProto) -> list[int | str | None]:
    return [d.dim_param or d.dim_value or None for d in value.type.tensor_type.shape.dim]
