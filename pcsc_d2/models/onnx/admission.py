"""What an ONNX file may hold: standard operators on tensors that lie in the file itself.

Looked at before an engine reads the graph, as ``admission`` does for ``.pt`` files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pcsc_d2.utils.trust import require_trust

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# What files of ``pcsc export`` use (tests/export/test_onnx.py compares), and their like. None of
# them touches files, is random or calls others' code.
_STANDARD = """
Add And ArgMax ArgMin Cast Ceil Clip Concat Constant ConstantOfShape Conv Div Equal Exp Expand
Flatten Floor Gather GatherElements GatherND Gemm Greater GreaterOrEqual Identity If
InstanceNormalization IsInf IsNaN Less LessOrEqual Log Loop MatMul Max MaxPool Min Mod Mul Neg
NonMaxSuppression NonZero Not Or Pad Pow Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum Relu Reshape Resize RoiAlign ScatterElements ScatterND Shape Sigmoid Size Slice Softmax
Split Sqrt Squeeze Sub Tile TopK Transpose Unsqueeze Where Xor
"""
OPERATORS = frozenset(_STANDARD.split())
# Protobuf reads no more.
LARGEST = (1 << 31) - 1
# Theirs have three: the loop over clips, a branch in it, a branch in that.
_DEEPEST = 8


def check_size(path: str | os.PathLike[str]) -> None:
    """ValueError for a file that is larger than ONNX files can be, before it is read."""
    size = os.path.getsize(path)
    if size > LARGEST:
        raise ValueError(f"its {size:,} bytes are more than an ONNX file can have")


def check_graph(path: str | os.PathLike[str], model: ModelProto, size: int) -> None:
    """Look at all that a graph would do.

    Args:
        path: where it comes from.
        model: not given to an engine yet.
        size: bytes of the file.

    Raises:
        UntrustedError: it has functions of its own, or operators that no file of ``pcsc export``
            has.
        ValueError: it asks for other files, its parts are nested too deeply, or a tensor says
            that it has more values than the file has bytes.
    """
    if model.functions or model.training_info:
        require_trust(path, "brings functions of its own, which no file of pcsc export does")
    graphs = list(_graphs(model.graph))
    for node in (node for graph in graphs for node in graph.node):
        # The name of the standard domain is empty, or spelt out.
        domain = "" if node.domain == "ai.onnx" else f"{node.domain}."
        name = domain.lstrip(".") + node.op_type
        if name not in OPERATORS:
            require_trust(path, f"uses {name!r}, which no file of pcsc export does")
    for tensor in (tensor for graph in graphs for tensor in _tensors(graph)):
        _check_tensor(tensor, size)


def operators(model: ModelProto) -> set[str]:
    """All that a graph and the graphs in it use, such as ``Conv``."""
    return {node.op_type for graph in _graphs(model.graph) for node in graph.node}


def _graphs(graph: GraphProto, depth: int = 0) -> Iterator[GraphProto]:
    """A graph and those in it, of loops and branches."""
    if depth > _DEEPEST:
        raise ValueError(f"its parts are nested more than {_DEEPEST} deep")
    yield graph
    for attribute in (a for node in graph.node for a in node.attribute):
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graphs(inner, depth + 1)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _constants(node)


def _constants(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        yield from attribute.tensors
        if attribute.HasField("t"):
            yield attribute.t
        sparse = [*attribute.sparse_tensors]
        sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for each in sparse:
            yield from (each.values, each.indices)


def _check_tensor(tensor: TensorProto, size: int) -> None:
    if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
        raise ValueError("asks for other files, which none from pcsc export does")
    values = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0 or values > size:
        raise ValueError(
            f"tensor {tensor.name!r} would have {values:,} values, which are not there"
        )
