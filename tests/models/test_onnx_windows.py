"""A graph that is cut into pieces finds in windows what it finds in clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.layers.window_trunk import LEVELS
from pcsc_d2.models.archive import METADATA
from pcsc_d2.models.info import ModelInfo
from pcsc_d2.models.metadata import to_json
from pcsc_d2.models.onnx.clips import PREFIX, for_any_clips, for_one_clip
from pcsc_d2.models.onnx.file import load_onnx
from pcsc_d2.models.onnx.network import OUTPUTS
from pcsc_d2.models.onnx.pieces import SIZE, STREAMS, pooled, tap
from pcsc_d2.runtime import COMPILERS, Engine

onnx = pytest.importorskip("onnx")
T = 16
CHANNELS = {"rgb": 3, "flow": 2}
# Of a part, in time and in space: what it takes together, so that no border is felt.
STRIDES = {"c2": (2, 4), "c3": (1, 2), "c4": (2, 2), "c5": (2, 2)}


class Graph:
    """Nodes of a graph for one clip, whose trunks are maxima of neighbouring values."""

    def __init__(self, context: int) -> None:
        self.nodes: list = []
        self.constants: list = []
        self.context = context
        for stream in STREAMS:
            self.trunk(stream)
        self.heads()

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: object) -> str:
        self.constants.append(onnx.numpy_helper.from_array(np.array(values), name))
        return name

    def trunk(self, stream: str) -> None:
        x = self.add("Cast", [PREFIX + stream], f"{stream}_float", to=onnx.TensorProto.FLOAT)
        for level, (time, space) in STRIDES.items():
            sides = [time, space, space]
            cut = self.context and level in ("c2", "c3")
            made = f"{stream}_{level}" if cut and level == "c3" else tap(stream, level)
            x = self.add("MaxPool", [x], made, kernel_shape=sides, strides=sides)
            kept = self.cut(x, stream, level) if cut else x
            x = kept if level == "c3" else x
            self.add("ReduceMean", [kept], pooled(stream, level), axes=[2], keepdims=0)

    def cut(self, x: str, stream: str, level: str) -> str:
        margin, name = self.context // 2, f"{stream}_{level}"
        bounds = {"from": [margin], "to": [T // 2 - margin], "axis": [2]}
        given = [self.constant(f"{name}_{k}", v) for k, v in bounds.items()]
        out = tap(stream, level) if level == "c3" else f"{name}_kept"
        return self.add("Slice", [x, *given], out)

    def heads(self) -> None:
        """One detection: its box is the clip's size, twice, its score the mean of all maps."""
        shape = self.add("Shape", ["one_rgb"], "shape")
        self.add("Slice", [shape, *(self.constant(*x) for x in (("f", [3]), ("t", [5])))], SIZE)
        means = [
            self.add("ReduceMean", [pooled(s, k)], f"{s}_{k}_mean", axes=[0, 1, 2, 3], keepdims=0)
            for s in STREAMS
            for k in LEVELS
        ]
        self.constant("axis", [0])
        each = [self.add("Unsqueeze", [x, "axis"], f"{x}_row") for x in means]
        rows = self.add("Concat", each, "rows", axis=0)
        self.add("ReduceMean", [rows], "one_scores", axes=[0], keepdims=1)
        size = self.add("Cast", [SIZE], "size_float", to=onnx.TensorProto.FLOAT)
        sides = self.add("Concat", [size, size], "sides", axis=0)
        self.add("Unsqueeze", [sides, "axis"], "one_boxes")
        self.add("Identity", [self.constant("class", [7])], "one_classes")
        self.add("Identity", ["one_scores"], "one_actionness")
        self.add("Identity", [self.constant("number", 1)], "one_count")

    def model(self) -> onnx.ModelProto:
        kinds, value = onnx.TensorProto, onnx.helper.make_tensor_value_info
        inputs = [
            value("one_rgb", kinds.UINT8, [1, 3, T, None, None]),
            value("one_flow", kinds.FLOAT, [1, 2, T, None, None]),
        ]
        sizes = {"boxes": [1, 4], "count": []}
        whole = {"classes": kinds.INT64, "count": kinds.INT64}
        outputs = [value(PREFIX + x, whole.get(x, kinds.FLOAT), sizes.get(x, [1])) for x in OUTPUTS]
        known = [
            value(name(s, k), kinds.FLOAT, [1, CHANNELS[s], *[None] * sides])
            for s in STREAMS
            for k in LEVELS
            for name, sides in ((tap, 3), (pooled, 2))
        ]
        graph = onnx.helper.make_graph(
            self.nodes, "model", inputs, outputs, self.constants, value_info=known
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


def written(folder: Path, context: int, one_clip: bool) -> Path:
    model = Graph(context).model()
    (for_one_clip if one_clip else for_any_clips)(model)
    about = {"clip_length": T, "min_size": 0, "max_size": 64, "flow_method": "dis"}
    info = ModelInfo(("a",), **about, context=context, actionness=True)
    onnx.helper.set_model_props(model, {METADATA: to_json(info)})
    onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize("one_clip", [False, True], ids=["any number", "one clip"])
@pytest.mark.parametrize("context", [0, 4])
@pytest.mark.parametrize("name", COMPILERS)
def test_windows_are_clips(
    name: str, context: int, one_clip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    path, engine = written(tmp_path, context, one_clip), Engine(name)
    network, windows = (load_onnx(path, engine, w)[0] for w in (False, True))
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (3, 24, 32, 64), generator=generator, dtype=torch.uint8)
    flow = torch.randn(2, 24, 32, 64, generator=generator)
    keys = [8, 9, 10, 13, 15]
    clips = [torch.stack([x[:, k - 8 : k + 8] for k in keys]) for x in (rgb, flow)]
    expected = network(*clips)
    assert len({float(scores) for _, scores, _, _ in expected}) == len(keys)
    for found in (
        windows(*clips),
        *(windows.window(rgb, flow, keys, shared, 1) for shared in range(5)),
    ):
        assert len(found) == len(keys)
        for one, other in zip(found, expected):
            for a, b in zip(one, other):
                torch.testing.assert_close(a, b)
    assert expected[0][0].tolist() == [[32.0, 64.0, 32.0, 64.0]]
