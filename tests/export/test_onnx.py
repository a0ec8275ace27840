"""An ONNX file answers as the model does, with ONNX Runtime and NumPy alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pcsc_d2.export.comparison import TOLERANCE, distance
from pcsc_d2.export.onnx import OnnxShape, to_onnx_network
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.dense import DenseDetector
from pcsc_d2.models.clip_model import detect_window
from pcsc_d2.models.exported import load_exported
from pcsc_d2.models.info import ModelError
from pcsc_d2.models.onnx.admission import OPERATORS, operators
from pcsc_d2.models.onnx.file import load_onnx, save_onnx
from pcsc_d2.models.onnx.network import OnnxNetwork
from pcsc_d2.runtime import COMPILERS, Engine, EngineError
from tests.export.clips import real_clips
from tests.export.test_export import CASES, DIFFERENCES, INFO, PCSC, make_model
from tests.test_imports import HIDE, ROOT
from tests.tiny import tiny_input

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
ORT = Engine("onnxruntime")
FROZEN = ["MODEL.I3D.NORM", "FrozenBN"]


class Exported(NamedTuple):
    """The paper's model, and what its file holds."""

    model: TwoStreamRCNN
    path: Path
    network: OnnxNetwork


def exported(options: list, folder: Path, shape: OnnxShape) -> Exported:
    model = make_model(options)
    bottom_up = model.rgb.backbone.bottom_up
    info = replace(
        INFO,
        context=bottom_up.trunk.context,
        time_pool=bottom_up.time_pool,
        actionness=getattr(model.roi_heads, "actionness_head", None) is not None,
    )
    save_onnx(to_onnx_network(model, 8, 100, shape), info, folder / "model.onnx")
    return Exported(model, folder / "model.onnx", load_onnx(folder / "model.onnx", ORT)[0])


@torch.no_grad()
def worst_distance(found: Exported, inputs: list[dict]) -> float:
    answers = found.network(*(torch.stack([x[key] for x in inputs]) for key in ("rgb", "flow")))
    assert len(answers) == len(inputs)
    return max(distance(x["instances"], y) for x, y in zip(found.model(inputs), answers))


@torch.no_grad()
def window_distance(found: Exported, engine: Engine, size: tuple[int, int]) -> float:
    """Of the key frames of a window, against the model's own dense mode."""
    network, info = load_onnx(found.path, engine, windows=True)
    sharing, frames = Sharing("c3", 2), tiny_window(13, size)
    keys = [4, 5, 6, 8, 9]
    expected = DenseDetector(found.model, 8, sharing).detect_window(*frames, keys, size)
    shared = sharing.parts(info.clip_length, info.context)
    answers = network.window(*frames, keys, shared, sharing.step)
    alone = network(*(x[None, :, :8] for x in frames))
    inputs = [dict(zip(("rgb", "flow"), (x[:, :8] for x in frames)))]
    assert distance(found.model(inputs)[0]["instances"], alone[0]) < TOLERANCE
    assert len(answers) == len(keys)
    return max(distance(x["instances"], y) for x, y in zip(expected, answers))


def tiny_window(length: int, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rgb = torch.randint(0, 256, (3, length, *size), generator=generator, dtype=torch.uint8)
    return rgb, torch.randn(2, length, *size, generator=generator) * 3


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(PCSC, tmp_path_factory.mktemp("paper"), OnnxShape())


def test_takes_any_size_and_any_number_of_clips(paper: Exported) -> None:
    counts = set()
    for number, size in enumerate([(64, 96), (100, 75), (130, 161)], start=1):
        inputs = [tiny_input(seed, size) for seed in range(number)]
        assert worst_distance(paper, inputs) < TOLERANCE
        counts |= {len(output["instances"]) for output in paper.model(inputs)}
    assert len(counts) > 1


def test_real_clips_of_two_sizes(real_data: Path, paper: Exported) -> None:
    for clip in real_clips(real_data, 8):
        assert worst_distance(paper, [clip]) < TOLERANCE


def test_differences_are_refused() -> None:
    model = make_model([*PCSC, *DIFFERENCES])
    with pytest.raises(ValueError, match="difference has no ONNX file"):
        to_onnx_network(model, 8, 100, OnnxShape())


# What ONNX files do not hold.
HELD = [case for case in CASES if case not in ("differences", "segments")]


@pytest.mark.parametrize(
    "options",
    [*(CASES[case] for case in HELD), ["MODEL.I3D.CONTEXT", 2]],
    ids=[*HELD, "context"],
)
def test_one_clip_of_a_fixed_size(options: list, tmp_path: Path) -> None:
    found = exported([*options, *FROZEN], tmp_path, OnnxShape((100, 75), one_clip=True))
    assert worst_distance(found, [tiny_input(seed, (100, 75)) for seed in range(2)]) < TOLERANCE
    assert window_distance(found, ORT, (100, 75)) < TOLERANCE
    assert operators(onnx.load(found.path)) <= OPERATORS


@pytest.mark.parametrize("name", COMPILERS)
def test_windows_as_in_dense_mode(
    name: str, paper: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    for size in ((100, 75), (64, 96)):
        assert window_distance(paper, Engine(name), size) < TOLERANCE
    assert operators(onnx.load(paper.path)) <= OPERATORS


def test_openvino_reads_it_too(paper: Exported, tmp_path: Path, monkeypatch: object) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    network = load_onnx(paper.path, Engine("openvino"))[0]
    inputs = [tiny_input(seed, (100, 75)) for seed in range(2)]
    assert worst_distance(paper._replace(network=network), inputs) < TOLERANCE


def test_detect_takes_it(paper: Exported) -> None:
    model = load_exported(paper.path, None, None, "onnxruntime")
    assert (model.info, model.engine) == (INFO, ORT)
    clip = tiny_input(3)
    found = model([(clip["rgb"], clip["flow"])], (64, 96))[0]
    expected = paper.model([clip])[0]["instances"]
    np.testing.assert_allclose(found.scores, expected.scores.numpy(), atol=TOLERANCE)
    assert found.actionness is None
    shared = load_exported(paper.path, None, Sharing(), "onnxruntime")
    assert shared.engine == ORT
    (same,) = detect_window(shared, clip["rgb"], clip["flow"], [4], (64, 96))
    np.testing.assert_allclose(same.scores, found.scores, atol=TOLERANCE)
    with pytest.raises(EngineError, match="engine torch does not run this"):
        load_exported(paper.path, None, None, "torch")


ALONE = """
import json, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[2])
about = json.loads(session.get_modelmeta().custom_metadata_map["pcsc_d2.json"])
assert (about["labels"], about["clip_length"]) == (list("abcd"), 8)
arrays = numpy.load(sys.argv[3])
boxes, scores, classes, actionness, count = session.run(
    None, {"rgb": arrays["rgb"][None], "flow": arrays["flow"][None]}
)
n = count[0]
assert n == len(arrays["scores"]) and boxes.shape == (1, 100, 4)
assert (classes[0, n:] == -1).all()
print(max(abs(boxes[0, :n] - arrays["boxes"]).max(), abs(scores[0, :n] - arrays["scores"]).max()))
assert not set(HIDDEN) & set(sys.modules)
"""


def test_runs_with_onnx_runtime_and_numpy_alone(paper: Exported, tmp_path: Path) -> None:
    example = tiny_input(5, (90, 70))
    expected = paper.model([example])[0]["instances"]
    assert len(expected) > 0
    arrays = {"boxes": expected.pred_boxes.tensor, "scores": expected.scores}
    arrays |= {key: example[key] for key in ("rgb", "flow")}
    np.savez(tmp_path / "example.npz", **{key: x.numpy() for key, x in arrays.items()})
    hidden = "torch,torchvision,detectron2,fvcore,pcsc_d2,onnx,openvino"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", HIDE + ALONE, hidden),
            *(str(paper.path), str(tmp_path / "example.npz")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < TOLERANCE


def test_files_without_names_between_take_no_windows(paper: Exported, tmp_path: Path) -> None:
    model = onnx.load(paper.path)
    [loop] = [node for node in model.graph.node if node.op_type == "Loop"]
    for node in (node for each in loop.attribute for node in each.g.node):
        for names in (node.input, node.output):
            names[:] = [name.replace("_tap_", "_") for name in names]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(
        ModelError, match=r"before windows were possible; export it again"
    ) as caught:
        load_onnx(tmp_path / "model.onnx", ORT, windows=True)
    assert "\n" not in str(caught.value)


def test_damaged_and_foreign_files_are_one_line(paper: Exported, tmp_path: Path) -> None:
    content = paper.path.read_bytes()
    foreign = onnx.load_from_string(content)
    del foreign.metadata_props[:]
    for damaged, message in (
        (b"", "not an ONNX file that pcsc export wrote"),
        (b"no model", "no ONNX file, or damaged"),
        (content[: len(content) // 2], "no ONNX file, or damaged"),
        (foreign.SerializeToString(), "not an ONNX file that pcsc export wrote"),
    ):
        path = tmp_path / "model.onnx"
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=message) as caught:
            load_onnx(path, ORT)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
