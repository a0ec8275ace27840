"""pcsc train-segments: from a detector to a model that cuts tubes, in evaluation and detection."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_argument_parser

from pcsc_d2.cli import main as pcsc
from pcsc_d2.config import changed
from pcsc_d2.detect.detector import ActionDetector, DetectOptions
from pcsc_d2.engine.actionness.collect import collect
from pcsc_d2.engine.actionness.fit import ActionnessTask
from pcsc_d2.engine.actionness.samples import VideoSamples, all_tubes
from pcsc_d2.engine.segments import fit as fitting
from pcsc_d2.engine.segments.fit import FitOptions, SegmentsTask, fit
from pcsc_d2.engine.segments.samples import TubeSample
from pcsc_d2.engine.segments.train import main
from pcsc_d2.evaluation import refine_options, with_trained_refinement
from pcsc_d2.experiments.exported_scores import exported_scores
from pcsc_d2.export import load_archive, save_archive
from pcsc_d2.layers.segments import SegmentCooperation, SegmentSizes
from pcsc_d2.models.exported import load_exported
from pcsc_d2.models.info import ModelError
from pcsc_d2.models.trained import load_trained, read_config
from pcsc_d2.tubes import LinkOptions, Refinement, Tubes
from tests.engine.scores.test_train import CONFIG, detector
from tests.engine.test_train_net import SMALL

OPTIONS = {
    "TEST.EVAL_ALL_STAGES": False,
    "MODEL.COOPERATION.NUM_STAGES": 1,
    "SOLVER.SEGMENTS.EPOCHS": 2,
    "TEST.TUBES.MIN_LENGTH": 3,
    "TEST.TUBES.ON": True,
    # So that tubes of random weights follow something.
    "MODEL.ACTIONNESS.LABEL_IOU": 0.01,
}


def line(folder: Path, *options: object) -> list[str]:
    pairs = [*(x for pair in (SMALL | OPTIONS).items() for x in pair), *options]
    return ["--config-file", CONFIG, "OUTPUT_DIR", str(folder / "out"), *map(str, pairs)]


def run(folder: Path, resume: bool = False) -> dict:
    parser = default_argument_parser()
    args = [*(["--resume"] if resume else []), *line(folder)]
    weights = ["MODEL.WEIGHTS", str(folder / "detector.pth")]
    return main(parser.parse_args([*args, *weights]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, generated_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("segments")
    detector(folder, stages=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(generated_root))
        run(folder)
    return folder


def test_what_it_leaves_is_a_model_with_its_choice(trained: Path) -> None:
    out = trained / "out"
    told = json.loads((out / "refinement.json").read_text())
    state = torch.load(out / "model_final.pth", weights_only=True)["model"]
    assert state["roi_heads.segments.threshold"].item() == np.float32(told["threshold"])
    before = torch.load(trained / "detector.pth", weights_only=True)["model"]
    assert all(torch.equal(state[key], value) for key, value in before.items())
    assert read_config(out / "config.yaml").MODEL.SEGMENTS.ON
    (written,) = out.glob("inference/*/results.json")
    assert {"video", "temporal", "boundaries", "refinement"} <= set(json.loads(written.read_text()))
    assert "Temporal refinement" in written.with_name("page.html").read_text()


def test_other_labels_are_another_fit(trained: Path) -> None:
    cfg = read_config(trained / "out" / "config.yaml")
    other = changed(cfg, {"MODEL.ACTIONNESS.LABEL_IOU": 0.3})
    assert SegmentsTask(cfg).settings() != SegmentsTask(other).settings()
    assert ActionnessTask(cfg).settings() != ActionnessTask(other).settings()


def test_evaluation_and_detection_cut_alike(trained: Path, tmp_path: Path) -> None:
    weights = trained / "out" / "model_final.pth"
    threshold = ("TEST.TUBES.ACTIONNESS_THRESH", 0.3)
    cfg = read_config(trained / "out" / "config.yaml", ["MODEL.WEIGHTS", str(weights), *threshold])
    (name,) = cfg.DATASETS.TEST
    model = load_trained(cfg)
    # By the files that it learns from.
    files = collect(cfg, model, name, tmp_path / "files", [SegmentsTask.kind])
    actionness = SegmentsTask(cfg).predict(model.roi_heads.segments, files)
    tubes = all_tubes([VideoSamples.load(path) for path in files], actionness)
    assert np.ptp(tubes.actionness) > 0
    expected = Refinement.of(tubes, refine_options(with_trained_refinement(cfg, model))).tubes
    assert 0 < len(expected.boxes) < len(tubes.boxes)
    # By pcsc train --eval-only.
    options = [*line(tmp_path), "MODEL.WEIGHTS", str(weights), "MODEL.SEGMENTS.ON", "True"]
    assert pcsc(["train", "--eval-only", *options, *map(str, threshold)]) == 0
    evaluated = Tubes.load(tmp_path / "out" / "inference" / name / "tubes.npz")
    assert described(evaluated) == described(expected)
    # By pcsc evaluate, with the file.
    words = ["--config-file", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "model.pt")]
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert pcsc(["export", *words]) == 0
    exported_scores(tmp_path / "model.pt", [name], tmp_path / "exported")
    evaluated = Tubes.load(tmp_path / "exported" / "inference" / name / "tubes.npz")
    assert described(evaluated) == described(expected)
    # By pcsc detect, which looks at a video as a whole, too, with the checkpoint and its file.
    models = [[tmp_path / "config.yaml", weights], [tmp_path / "model.pt"]]
    link = LinkOptions(min_length=3)
    for model, refine in itertools.product(models, (True, False)):
        options = DetectOptions(min_score=0.0, link=link, refine=refine)
        look = ActionDetector(model, options, engine="torch")
        video = str(MetadataCatalog.get(name).load_ground_truth().videos[0])
        path = next(d["file_name"] for d in DatasetCatalog.get(name) if d["video_id"] == video)
        found = look(path)
        wanted = expected if refine else tubes
        assert described(found) == described(wanted.take(wanted.videos[wanted.video] == video))


def described(tubes: Tubes) -> list[tuple]:
    """Classes and extents; boxes differ in rounding where norms are folded."""
    return sorted(zip(tubes.classes.tolist(), tubes.start.tolist(), tubes.last.tolist()))


def test_interrupted_training_goes_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "detector.pth").symlink_to(trained / "detector.pth")
    keep, calls = fitting.keep, []

    def stop(*arguments: object) -> None:
        keep(*arguments)
        calls.append(arguments[1])
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "keep", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    made = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/segments/*/0*.npz")}
    assert made
    run(tmp_path, resume=True)
    assert calls[2:4] == [1, 2], "the second fit went on with its second epoch"
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    states = [
        torch.load(folder / "out" / "model_final.pth", weights_only=True)["model"]
        for folder in (trained, tmp_path)
    ]
    assert all(torch.equal(states[0][key], value) for key, value in states[1].items())


def test_onnx_file_has_no_segments_and_says_so(
    trained: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    words = ["export", "--config-file", str(trained / "out" / "config.yaml")]
    out = trained / "model.onnx"
    weights = str(trained / "out" / "model_final.pth")
    assert pcsc([*words, "--out", str(out), "MODEL.WEIGHTS", weights]) == 0
    assert "without segments, which a .pt file holds" in capsys.readouterr().out
    info = load_exported(out, "cpu", None).info
    assert (info.segments, info.refine) == (None, None)


BAD = {
    "hidden": ({"hidden": 7}, r"\d+ weights of segments, where \d+ are"),
    "NaN": (float("nan"), "weights of segments are NaN"),
    "deviations": (0.0, "are not over 0"),
    "rows": (torch.zeros(1, 9), "no vector of float32"),
    "numbers": (torch.zeros(9, dtype=torch.int64), "no vector of float32"),
}


@pytest.mark.parametrize(("wrong", "reason"), BAD.values(), ids=BAD)
def test_file_whose_segments_cannot_be(trained: Path, wrong: object, reason: str) -> None:
    network, info = load_archive(through_export(trained))
    if isinstance(wrong, dict):
        info = replace(info, segments=replace(info.segments, **wrong))
    elif isinstance(wrong, float):
        network.segments.fill_(wrong)
    else:
        network.segments = wrong
    save_archive(network, info, trained / "wrong.pt")
    with pytest.raises(ModelError, match=rf"wrong.pt: .*{reason}"):
        load_exported(trained / "wrong.pt", "cpu", None)


def test_file_that_gives_no_features_of_segments(trained: Path) -> None:
    model = load_exported(through_export(trained), "cpu", None)
    scores, width = torch.rand(3), 2 * model.info.segments.channels
    good = torch.zeros(3, width)
    assert model.features(scores, [scores, good]) is good
    for more in ([], [scores], [scores, good[:2]], [scores, good[:, 1:]], [scores, good + np.inf]):
        with pytest.raises(ModelError, match=f"gives no {width} finite features"):
            model.features(scores, more)


def test_rounded_file_has_the_segments_as_they_are(trained: Path) -> None:
    plain = load_archive(through_export(trained))[0].segments
    rounded = load_archive(through_export(trained, "--store", "int8"))[0].segments
    assert torch.equal(plain, rounded)


def through_export(trained: Path, *options: str) -> Path:
    words = ["export", "--config-file", str(trained / "out" / "config.yaml"), *options]
    weights = ["MODEL.WEIGHTS", str(trained / "out" / "model_final.pth")]
    out = trained / f"model{''.join(options)}.pt"
    if not out.exists():
        assert pcsc([*words, "--out", str(out), *weights]) == 0
    return out


def test_nothing_to_learn_from() -> None:
    network = SegmentCooperation(SegmentSizes(4, 2))
    with pytest.raises(ValueError, match="no tube of the training videos follows an action"):
        fit(network, [TubeSample(torch.rand(2, 9, 4), 0, torch.zeros(9))], FitOptions(1, 0.1, 0, 1))
