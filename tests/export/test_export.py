"""An exported network answers as the model does, also where Detectron2 cannot be imported."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from pcsc_d2.export import ModelInfo, load_archive, save_archive
from pcsc_d2.export.comparison import TOLERANCE, distance
from pcsc_d2.export.tracing import to_network
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.dense import DenseDetector
from pcsc_d2.modeling.fusion import LearnedFusion
from pcsc_d2.models.admission import OPERATORS, operators
from tests.export.clips import real_clips
from tests.test_imports import HIDE, ROOT
from tests.tiny import tiny_config, tiny_input

PCSC = ["MODEL.COOPERATION.NUM_STAGES", 4, "MODEL.COOPERATION.IMAGE_MESSAGES", True]
DIFFERENCES = [
    *("MODEL.FLOW.SOURCE", "difference", "MODEL.FLOW.PIXEL_MEAN", [0.0] * 3),
    *("MODEL.FLOW.PIXEL_STD", [40.0] * 3),
]
CASES = {
    "baseline": [],
    "average": [*PCSC, "MODEL.COOPERATION.OUTPUT", "average"],
    "last_two": [*PCSC, "MODEL.COOPERATION.OUTPUT", "last_two"],
    "without c2": [
        *("MODEL.FPN.IN_FEATURES", ["c3", "c4", "c5"], "MODEL.COOPERATION.NUM_STAGES", 1),
        *("MODEL.RPN.IN_FEATURES", ["p3", "p4", "p5", "p6"]),
        *("MODEL.ROI_HEADS.IN_FEATURES", ["p3", "p4", "p5"]),
        *("MODEL.ANCHOR_GENERATOR.SIZES", [[16], [32], [64], [128]]),
        *("MODEL.COOPERATION.IMAGE_MESSAGES", True),
    ],
    "own streams, both rgb, boxes by class": [
        *("MODEL.COOPERATION.NUM_STAGES", 2, "MODEL.COOPERATION.OWN_STREAM_CONTROL", True),
        *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False, "MODEL.I3D.TIME_POOL", "middle"),
        *("MODEL.FLOW.SOURCE", "rgb", "MODEL.FLOW.PIXEL_MEAN", [127.5] * 3),
        *("MODEL.FLOW.PIXEL_STD", [127.5] * 3, "MODEL.RGB.PIXEL_STD", [60.0] * 3),
    ],
}
CASES["fused by weights"] = ["MODEL.FUSION.NAME", "ClassWeightsFusion"]
CASES["fused by a layer"] = ["MODEL.FUSION.NAME", "FullyConnectedFusion"]
CASES["fused by average"] = ["MODEL.FUSION.NAME", "AverageFusion"]
CASES["stages fused by average"] = [
    *("MODEL.FUSION.NAME", "AverageFusion", "MODEL.COOPERATION.NUM_STAGES", 2),
]
CASES["fused by boost"] = ["MODEL.FUSION.NAME", "BoostFusion"]
CASES["what reviewers ask for"] = [
    *(*PCSC, "MODEL.COOPERATION.OUTPUT", "within_streams", "MODEL.COOPERATION.CALIBRATED", True),
    *("MODEL.COOPERATION.FIRST_STREAM", "flow", "MODEL.COOPERATION.SHARED_HEADS", True),
    *("MODEL.COOPERATION.REFINED_MESSAGES", True),
]
CASES["one trunk"] = [*PCSC, "MODEL.FLOW.SOURCE", "rgb", "MODEL.I3D.FEATURES", "cached"]
CASES["differences"] = [*PCSC, *DIFFERENCES]
CASES["actionness"] = [*PCSC, "MODEL.ACTIONNESS.ON", True]
CASES["segments"] = [*PCSC, "MODEL.SEGMENTS.ON", True]
INFO = ModelInfo(tuple("abcd"), clip_length=8, min_size=64, max_size=100, flow_method="dis")


def make_model(options: list) -> TwoStreamRCNN:
    """A tiny model in which messages say something and the number of detections varies."""
    torch.manual_seed(0)
    options = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.22, *options]
    model = build_model(tiny_config(options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    if isinstance(model.roi_heads.fusion, LearnedFusion):
        model.roi_heads.fusion.gain.fill_(1.0)  # as a trained one that is better than the average
    return model


def through_file(model: TwoStreamRCNN, folder: Path, length: int = 8) -> torch.jit.ScriptModule:
    save_archive(to_network(model, length), INFO, folder / "model.pt")
    return load_archive(folder / "model.pt")[0]


def worst_distance(
    model: TwoStreamRCNN, network: torch.jit.ScriptModule, inputs: list[dict]
) -> float:
    found = network(*(torch.stack([x[key] for x in inputs]) for key in ("rgb", "flow")))
    return max(distance(x["instances"], y) for x, y in zip(model(inputs), found))


class Exported(NamedTuple):
    """A model, and what its file holds."""

    model: TwoStreamRCNN
    path: Path
    network: torch.jit.ScriptModule


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("paper")
    model = make_model(PCSC)
    return Exported(model, folder / "model.pt", through_file(model, folder))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Makes the file of a case, once."""

    @functools.cache
    def make(case: str) -> Exported:
        folder, model = tmp_path_factory.mktemp("case"), make_model(CASES[case])
        return Exported(model, folder / "model.pt", through_file(model, folder))

    return make


@pytest.mark.parametrize("case", CASES)
def test_answers_as_the_model(case: str, exported: Callable[[str], Exported]) -> None:
    model, _, network = exported(case)
    assert worst_distance(model, network, [tiny_input(size=(100, 75))]) < TOLERANCE


def test_operators_that_are_admitted_are_those_of_exports(
    exported: Callable[[str], Exported], paper: Exported, shipped_model: Path
) -> None:
    # Files with an unknown one would not have been loaded: what is left is those without use.
    networks = [paper.network, *(exported(case).network for case in CASES)]
    networks.append(load_archive(shipped_model)[0])
    assert set().union(*map(operators, networks)) == OPERATORS


def test_clips_that_strides_do_not_divide(tmp_path: Path) -> None:
    """Of 4 frames one slice of time reaches the last pool, whose stride is 2."""
    model = make_model([*PCSC, "INPUT.CLIP_LENGTH", 4])
    network = through_file(model, tmp_path, 4)
    clip = tiny_input(size=(100, 75))
    clip |= {key: clip[key][:, :4] for key in ("rgb", "flow")}
    assert worst_distance(model, network, [clip]) < TOLERANCE


def test_takes_any_size_and_any_number_of_clips(paper: Exported) -> None:
    model, _, network = paper
    counts = set()
    for number, size in enumerate([(64, 96), (100, 75), (130, 161)], start=1):
        inputs = [tiny_input(seed, size) for seed in range(number)]
        assert worst_distance(model, network, inputs) < TOLERANCE
        counts |= {len(output["instances"]) for output in model(inputs)}
    assert len(counts) > 1


def test_nothing_found_is_an_empty_answer(tmp_path: Path) -> None:
    network = through_file(make_model(["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0]), tmp_path)
    clip = tiny_input()
    found = network(clip["rgb"][None], clip["flow"][None])[0]
    assert [x.shape for x in found] == [(0, 4), (0,), (0,), (0,), (0,), (0,)]


@pytest.mark.parametrize(
    ("sharing", "shared"), [(Sharing("", 1), 0), (Sharing("c3", 2), 2), (Sharing("c5", 1), 4)]
)
def test_window_as_in_dense_mode(sharing: Sharing, shared: int, paper: Exported) -> None:
    rgb, flow = window_of(24)
    keys = [4, 5, 6, 7, 20]
    expected = DenseDetector(paper.model, 8, sharing).detect_window(rgb, flow, keys, (64, 96))
    found = paper.network.window(rgb, flow, keys, shared, sharing.step)
    assert max(distance(x["instances"], y) for x, y in zip(expected, found)) < TOLERANCE


def test_context_comes_along(tmp_path: Path) -> None:
    model = make_model(["MODEL.I3D.CONTEXT", 4, "INPUT.CLIP_LENGTH", 16])
    network = through_file(model, tmp_path, 16)
    rgb, flow = window_of(16)
    assert worst_distance(model, network, [{"rgb": rgb, "flow": flow}]) < TOLERANCE


def window_of(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    clips = [tiny_input(seed) for seed in range(frames // 8)]
    return tuple(torch.cat([clip[key] for clip in clips], dim=1) for key in ("rgb", "flow"))


def test_actionness_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model([])
    without = model.detect

    def with_actionness(*args: object) -> list:
        stages = without(*args)
        for found in stages[-1]:
            found.actionness = found.scores.sigmoid()
        return stages

    monkeypatch.setattr(model, "detect", with_actionness)
    network = through_file(model, tmp_path)
    inputs = [tiny_input(size=(80, 90))]
    assert model(inputs)[0]["instances"].has("actionness")
    assert worst_distance(model, network, inputs) < TOLERANCE


def test_real_clips_of_two_sizes(real_data: Path, paper: Exported) -> None:
    for clip in real_clips(real_data, 8):
        assert worst_distance(paper.model, paper.network, [clip]) < TOLERANCE


WITHOUT = """
import json, numpy, torch, torchvision
arrays = numpy.load(sys.argv[3])
extra = {"pcsc_d2.json": ""}
network = torch.jit.load(sys.argv[2], _extra_files=extra)
assert json.loads(extra["pcsc_d2.json"])["labels"] == list("abcd")
found = network(*(torch.from_numpy(arrays[key])[None] for key in ("rgb", "flow")))[0]
assert len(found[1]) == len(arrays["scores"])
print(max(abs(found[0].numpy() - arrays["boxes"]).max(),
          abs(found[1].numpy() - arrays["scores"]).max()))
assert not set(HIDDEN) & set(sys.modules)
"""


def test_runs_with_torch_and_torchvision_alone(paper: Exported, tmp_path: Path) -> None:
    example = tiny_input(5, (90, 70))
    expected = paper.model([example])[0]["instances"]
    assert len(expected) > 0
    arrays = {"boxes": expected.pred_boxes.tensor, "scores": expected.scores}
    arrays |= {key: example[key] for key in ("rgb", "flow")}
    np.savez(tmp_path / "example.npz", **{key: x.numpy() for key, x in arrays.items()})
    files = [str(paper.path), str(tmp_path / "example.npz")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HIDE + WITHOUT, "detectron2,fvcore,pcsc_d2", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < TOLERANCE
