"""Kinetics' names for tubes: along a path, in the files, on the page, and out of which trunk."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.cli import main
from pcsc_d2.detect import ActionDetector, ClipDetections, DetectOptions
from pcsc_d2.detect.kinetics import PathGuesses
from pcsc_d2.detect.results import Summary
from pcsc_d2.model_zoo.kinetics import kinetics_classes
from pcsc_d2.models import kinetics
from pcsc_d2.models.kinetics import KineticsTrunk
from pcsc_d2.tubes.linking import LinkedFrame
from tests.square_model import SquareModel, encode, square_frames

NAMES = kinetics_classes()
GOLF, SURF, RUN = (NAMES.index(x) for x in ("golf driving", "surfing water", "jogging"))


class NamingModel(SquareModel):
    """Names the square by its place: golf on the left, surfing further on."""

    def _find(self, *args: object) -> ClipDetections:
        found = super()._find(*args)
        logits = np.zeros((len(found.boxes), 400), np.float32)
        logits[:, RUN] = 1
        for row, (x1, *_) in enumerate(found.boxes):
            logits[row, GOLF if x1 < 24 else SURF] = 9
        return found._replace(kinetics=logits)


@pytest.fixture
def naming(monkeypatch: pytest.MonkeyPatch) -> NamingModel:
    model = NamingModel()
    model.info = SquareModel.info.__class__(
        ("square", "circle"), 4, 64, 200, "dis_fast", note="names squares", kinetics=True
    )
    monkeypatch.setattr("pcsc_d2.detect.detector.load_model", lambda *_: model)
    return model


def linked(index: Sequence[int], path: Sequence[int]) -> LinkedFrame:
    numbers = np.array(path, np.int64)
    return LinkedFrame(np.array(index), numbers, np.zeros(len(index)), numbers[:0])


def found(names: Sequence[int], actionness: Sequence[float] | None = None) -> ClipDetections:
    logits = np.zeros((len(names), 400), np.float32)
    logits[np.arange(len(names)), names] = 10
    zeros = np.zeros((len(names), 4), np.float32)
    weights = None if actionness is None else np.array(actionness, np.float32)
    return ClipDetections(zeros, zeros[:, 0], zeros[:, 0].astype(np.int64), weights, logits)


def test_means_along_paths() -> None:
    guesses = PathGuesses()
    guesses.update(linked([1, 0], [5, 7]), found([GOLF, SURF]))
    guesses.update(linked([0], [5]), found([SURF]))
    guesses.update(linked([0], [5]), found([GOLF]))
    (surf, golf) = guesses.of(np.array([5, 7]))
    assert [g.label for g in surf[:2]] == ["surfing water", "golf driving"]
    assert golf[0].label == "golf driving"
    # The softmax of the mean of the logits: 20 / 3 against 10 / 3 and 398 zeros.
    scores = np.exp([20 / 3, 10 / 3]) / (np.exp([20 / 3, 10 / 3]).sum() + 398)
    assert [g.score for g in surf[:2]] == pytest.approx(scores.tolist())
    guesses.forget(np.array([5, 7, 9]))
    with pytest.raises(KeyError):
        guesses.of(np.array([5]))


def test_boxes_count_by_their_actionness() -> None:
    guesses = PathGuesses()
    guesses.update(linked([0], [1]), found([GOLF], [0.1]))
    guesses.update(linked([0], [1]), found([SURF], [0.9]))
    assert guesses.of(np.array([1]))[0][0].label == "surfing water"


def test_files_and_page(naming: NamingModel, tmp_path: Path) -> None:
    video, out = encode(tmp_path / "square.mp4", square_frames(30)), tmp_path / "out"
    arguments = ["detect", str(video), "--model", "square.mp4", "--out", str(out), "--quiet"]
    (tmp_path / "model.pt").touch()
    arguments[3] = str(tmp_path / "model.pt")
    assert main([*arguments, "--kinetics"]) == 0
    (tube,) = json.loads((out / "square" / "tubes.json").read_text())["tubes"]
    assert [guess["label"] for guess in tube["kinetics"][:2]] == ["surfing water", "golf driving"]
    assert len(tube["kinetics"]) == 3
    rows = list(csv.DictReader((out / "square" / "tubes.csv").open()))
    assert {row["kinetics_1"] for row in rows} == {"surfing water"}
    assert {row["kinetics_3_score"] for row in rows} == {str(tube["kinetics"][2]["score"])}
    page = (out / "index.html").read_text()
    assert "a guess of another kind" in page
    assert f"Kinetics: surfing water {tube['kinetics'][0]['score']:.2f}, golf" in page
    assert Summary.load(out / "square" / "summary.json").tubes[0]["kinetics"] == tube["kinetics"]
    # Without the option there is nothing of it, and results of the one do not stand for the other.
    assert main([*arguments, "--resume"]) == 0
    assert "kinetics" not in (out / "square" / "tubes.json").read_text()
    assert "guess of another kind" not in (out / "index.html").read_text()


def test_a_summary_with_odd_names_is_none(naming: NamingModel, tmp_path: Path) -> None:
    video, out = encode(tmp_path / "square.mp4", square_frames(20)), tmp_path / "out"
    (tmp_path / "model.pt").touch()
    arguments = ["--model", str(tmp_path / "model.pt"), "--out", str(out), "--quiet", "--kinetics"]
    assert main(["detect", str(video), *arguments]) == 0
    path = out / "square" / "summary.json"
    about = json.loads(path.read_text())
    for odd in ([7], [{"label": "x"}], [{"label": "x", "score": float("nan")}], 7):
        about["tubes"][0]["kinetics"] = odd
        path.write_text(json.dumps(about))
        assert Summary.load(path) is None


class _Trunk(torch.nn.Module):
    """c5 that says where the clip's key frame is bright."""

    def forward(self, clip: torch.Tensor) -> dict[str, torch.Tensor]:
        assert clip.min() >= -1
        assert clip.max() <= 1
        small = torch.nn.functional.avg_pool2d(clip[0, :, clip.shape[2] // 2], 32)
        return {"c5": small[:1, None][None].repeat(1, 2, 1, 1, 1)}


@pytest.fixture
def own_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trunk and a classifier that say "golf driving" of what is bright."""
    weight = torch.zeros(400, 2, 1, 1, 1)
    weight[GOLF] = 20
    bias = torch.zeros(400)
    bias[GOLF] = 40
    weights = {"logits.conv3d.weight": weight, "logits.conv3d.bias": bias}
    monkeypatch.setattr(kinetics, "needed_kinetics", lambda: weights)
    monkeypatch.setattr(kinetics, "InceptionI3D", lambda *_, **__: _Trunk())
    monkeypatch.setattr(kinetics, "fill_trunk", lambda *_: None)


def test_another_trunk_runs_for_other_models(
    own_trunk: None, model: SquareModel, caplog: pytest.LogCaptureFixture
) -> None:
    detector = ActionDetector(model, DetectOptions(kinetics=True, batch=3))
    assert "a trunk more runs" in caplog.text
    (names,) = [each for moment in detector.stream(square_frames(20)) for each in moment.kinetics]
    assert names[0].label == "golf driving"
    assert names[0].score > 0.5


def test_boxes_are_of_the_frame(own_trunk: None) -> None:
    rgb = torch.zeros(3, 4, 64, 96, dtype=torch.uint8)
    rgb[..., 32:64] = 255
    boxes = np.array([[0, 0, 63, 127], [64, 0, 127, 127], [64, 0, 191, 127]], np.float32)
    given = ClipDetections(boxes, np.ones(3), np.zeros(3, np.int64))
    (named,) = KineticsTrunk(4).add(rgb, [2], [given], (128, 192))
    # Black is -1 on both channels, white 1; the third box has as much of either.
    assert named.kinetics[:, GOLF].tolist() == pytest.approx([0, 80, 40], abs=1e-4)
    assert named.kinetics.shape == (3, 400)


def test_nothing_asked_nothing_told(naming: NamingModel) -> None:
    moments = list(ActionDetector(naming).stream(square_frames(12)))
    assert {moment.kinetics for moment in moments} == {None}


def test_weights_that_are_not_there(
    square_video: Path, run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert run(square_video, "--kinetics") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: --kinetics needs the Kinetics weights, and pip cannot fetch")
    assert line.endswith("pcsc weights kinetics --from FILE")
