"""An ONNX file's graph cut into the trunks' parts and what is behind them.

``pcsc export`` names the tensors between, in graphs for one clip (see ``clips``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.window_trunk import LEVELS
from pcsc_d2.models.onnx.clips import PREFIX, takes_one_clip, without_loop
from pcsc_d2.models.onnx.network import OUTPUTS

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

SIZE = f"{PREFIX}clip_size"


def tap(stream: str, level: str) -> str:
    """The name of what a part of a trunk hands on."""
    return f"{PREFIX}{stream}_tap_{level}"


def pooled(stream: str, level: str) -> str:
    """The name of a map with time pooled."""
    return f"{PREFIX}{stream}_map_{level}"


def between(streams: Sequence[str]) -> list[str]:
    """What lies between the pieces, in the order in which the exported network gives it.

    Args:
        streams: with a trunk of their own.
    """
    names = [name(s, level) for s in streams for name in (tap, pooled) for level in LEVELS]
    return [*names, SIZE]


class Pieces:
    """The pieces of a file, as models of their own.

    Args:
        model: of a file; it is changed.
        context: of its clips.

    Raises:
        ValueError: the file does not name what is between.
    """

    def __init__(self, model: ModelProto, context: int) -> None:
        if not takes_one_clip(model):
            without_loop(model)
        self._model, self._context = model, context
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._known = {value.name: value for value in model.graph.value_info}
        self.sources = [value.name for value in model.graph.input]
        own = [stream for stream in STREAMS if tap(stream, "c2") in self._makers]
        # With one trunk for both, the maps of the first are those of either.
        self.streams = own or ["rgb"]
        if not set(between(self.streams)) <= set(self._makers):
            raise ValueError("was exported before windows were possible; export it again")

    def parts(self, stream: str) -> list[tuple[str, bytes]]:
        """A trunk's graphs and the names of their inputs: raw frames -> c2 -> c3 -> c4 -> c5, any
        number of any length."""
        given = PREFIX + (stream if stream in self.sources else "rgb")
        found = []
        for level in LEVELS:
            made = tap(stream, level)
            handed = self._uncut(made) if level == "c3" else made
            found.append((given, self._piece([given], [handed])))
            given = made
        return found

    def heads(self) -> bytes:
        """From the maps of the streams and the clip's size to the detections of one image."""
        maps = [pooled(stream, level) for stream in self.streams for level in LEVELS]
        return self._piece([*maps, SIZE], [PREFIX + name for name in OUTPUTS])

    def _uncut(self, name: str) -> str:
        """The tensor before its context was cut, which a window cuts for each clip."""
        while self._context and self._makers[name].op_type == "Slice":
            name = self._makers[name].input[0]
        return name

    def _piece(self, given: Sequence[str], made: Sequence[str]) -> bytes:
        from onnx import helper

        nodes, constants = self._between(given, made)
        graph = helper.make_graph(
            nodes,
            "piece",
            [self._input(name) for name in given],
            [helper.make_empty_tensor_value_info(name) for name in made],
            constants,
        )
        model = self._model
        versions = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
        return helper.make_model(graph, **versions).SerializeToString()

    def _between(self, given: Sequence[str], made: Sequence[str]) -> tuple[list, list]:
        """The nodes that lead from some tensors to others, and the constants that they take."""
        seen, todo = set(given), list(made)
        needed: set[str] = set()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._makers:
                needed.update(self._makers[name].output)
                todo += _taken(self._makers[name])
        graph = self._model.graph
        nodes = [node for node in graph.node if needed.intersection(node.output)]
        return nodes, [x for x in graph.initializer if x.name in seen]

    def _input(self, name: str) -> ValueInfoProto:
        """All its sizes but the channels are free."""
        from onnx import TensorProto, helper

        if name == SIZE:
            return helper.make_tensor_value_info(name, TensorProto.INT64, [2])
        source = name.removeprefix(PREFIX)
        values = {value.name: value for value in self._model.graph.input}
        kind = (values[source] if source in self.sources else self._known[name]).type.tensor_type
        sizes = [None] * len(kind.shape.dim)
        sizes[1] = kind.shape.dim[1].dim_value
        return helper.make_tensor_value_info(name, kind.elem_type, sizes)


def _taken(node: NodeProto) -> Iterator[str]:
    """What a node takes, also in graphs inside it; names of those graphs' own do no harm."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _taken_in(attribute.g)


def _taken_in(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from _taken(node)
    yield from (value.name for value in graph.output)
