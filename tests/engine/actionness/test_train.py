"""Training the actionness head: what is collected, what is fitted, and going on after a stop."""

from __future__ import annotations

import copy
import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.engine import default_argument_parser
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch import nn

from pcsc_d2 import add_pcsc_config
from pcsc_d2.data import ClipMapper
from pcsc_d2.engine import Trainer
from pcsc_d2.engine.actionness import collect as collecting
from pcsc_d2.engine.actionness import fit as actionness_fit
from pcsc_d2.engine.actionness import train as train_actionness
from pcsc_d2.engine.actionness.choose import fit_parts, say_loose
from pcsc_d2.engine.actionness.collect import Limit, collect
from pcsc_d2.engine.actionness.fit import (
    ActionnessTask,
    class_weights,
    draw_rates,
    fit,
    predict,
    predict_videos,
    standardise,
)
from pcsc_d2.engine.actionness.samples import POSITIVE, SampleStore, VideoSamples, all_tubes
from pcsc_d2.engine.actionness.task import fit_once
from pcsc_d2.engine.train import train
from pcsc_d2.evaluation import TubeEvaluator, link_options
from pcsc_d2.modeling import ActionnessHead
from pcsc_d2.tubes import Tubes, label_boxes
from tests.engine.test_train_net import SMALL
from tests.tiny import CONFIGS, tiny_config

DATASET = "synthetic_easy_train"
OPTIONS = [
    *("MODEL.COOPERATION.NUM_STAGES", 1, "MODEL.ACTIONNESS.ON", True, "MODEL.ACTIONNESS.NUM_FC", 0),
    *("INPUT.CLIP_LENGTH", 4, "INPUT.MIN_SIZE_TEST", 48, "TEST.TUBES.MIN_LENGTH", 2),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", 8, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.15),
    *("SOLVER.ACTIONNESS.EPOCHS", 4, "SOLVER.ACTIONNESS.BATCH_SIZE", 32),
]


@pytest.fixture(scope="module")
def cfg() -> CfgNode:
    return tiny_config(OPTIONS)


@pytest.fixture(scope="module")
def model(cfg: CfgNode) -> nn.Module:
    torch.manual_seed(0)
    return build_model(cfg).eval()


@pytest.fixture(scope="module")
def files(
    cfg: CfgNode, model: nn.Module, generated_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(generated_root))
        return collect(cfg, model, DATASET, tmp_path_factory.mktemp("samples"), ["cooperation"])


def evaluated(cfg: CfgNode, model: nn.Module, folder: Path) -> Path:
    """What the evaluator writes for the same videos."""
    evaluator = TubeEvaluator(DATASET, folder, link_options=link_options(cfg))
    evaluator.reset()
    with torch.no_grad():
        for batch in Trainer.build_test_loader(cfg, DATASET):
            evaluator.process(batch, model(batch))
    evaluator.evaluate()
    return folder


def test_samples_are_what_evaluation_links(
    cfg: CfgNode, model: nn.Module, files: list[Path], tmp_path: Path
) -> None:
    head = model.roi_heads.actionness_head
    nn.init.normal_(head.predictor.weight, std=0.05)
    expected = Tubes.load(evaluated(cfg, model, tmp_path) / "tubes.npz")
    store = SampleStore(files, "cooperation", 1 << 30, 0.5)
    tubes = all_tubes(store.samples, predict_videos(head, store))
    assert len(tubes) > 3
    assert np.array_equal(tubes.boxes, expected.boxes)
    assert np.array_equal(tubes.video, expected.video)
    truth = MetadataCatalog.get(DATASET).load_ground_truth()
    for iou in (0.5, 0.05):
        positive = np.concatenate([s.groups(iou) == POSITIVE for s in store.samples])
        assert np.array_equal(positive, label_boxes(expected, truth, iou) == 1)
    assert np.ptp(expected.actionness) > 0.1
    np.testing.assert_allclose(tubes.actionness, expected.actionness, atol=5e-3)  # half precision


def test_interrupted_collection_goes_on(
    cfg: CfgNode, model: nn.Module, files: list[Path], tmp_path: Path
) -> None:
    shutil.copy(files[0].parent / "collection.json", tmp_path)
    for path in files[1:]:
        shutil.copy(path, tmp_path)
    first = (tmp_path / files[1].name).stat().st_mtime_ns
    again = collect(cfg, model, DATASET, tmp_path, ["cooperation"])
    assert [p.name for p in again] == [p.name for p in files]
    assert again[1].stat().st_mtime_ns == first
    assert again[0].read_bytes() == files[0].read_bytes()


def test_collection_of_another_detector_is_refused(
    cfg: CfgNode, model: nn.Module, files: list[Path]
) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.rgb.parameters()).add_(1.0)
    with pytest.raises(ValueError, match="features of another detector"):
        collect(cfg, other, DATASET, files[0].parent, ["cooperation"])


def test_collection_by_other_annotations_is_refused(
    cfg: CfgNode, model: nn.Module, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = MetadataCatalog.get(DATASET)
    truth = metadata.load_ground_truth()
    corrected = replace(truth, tubes=replace(truth.tubes, boxes=truth.tubes.boxes + 1))
    monkeypatch.setitem(vars(metadata), "load_ground_truth", lambda: corrected)
    with pytest.raises(ValueError, match="ground truth or version"):
        collect(cfg, model, DATASET, files[0].parent, ["cooperation"])


def test_disk_is_bounded_and_what_is_left_out_said(
    cfg: CfgNode, model: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        found = collect(cfg, model, DATASET, tmp_path, ["cooperation"], Limit(disk_bytes=1))
    assert len(found) == 1
    assert "2 of 3 videos left out" in caplog.text


def test_so_many_videos_are_collected(
    cfg: CfgNode, model: nn.Module, files: list[Path], tmp_path: Path
) -> None:
    node = cfg.SOLVER.ACTIONNESS
    assert Limit.of(cfg) == (0, node.DISK_MB << 20)
    assert Limit(videos=3).disk_bytes == float("inf")
    cfg = cfg.clone()
    cfg.SOLVER.ACTIONNESS.VIDEOS = 3
    assert Limit.of(cfg, datasets=2).videos == 2
    found = collect(cfg, model, DATASET, tmp_path, ["cooperation"], Limit(videos=2))
    # The same ones for every seed, every frame, and no more of them from a folder that holds more.
    cfg.SEED += 1
    cfg.TEST.KEY_FRAMES = 1
    names = [path.name for path in found]
    again = collect(cfg, model, DATASET, files[0].parent, ["cooperation"], Limit(videos=2))
    assert [path.name for path in again] == names
    assert len(set(names)) == 2 < len(files)
    (tmp_path / names[0]).unlink()
    anew = collect(cfg, model, DATASET, tmp_path, ["cooperation"], Limit(videos=2))
    assert anew[0].read_bytes() == again[0].read_bytes()


def test_ranks_share_the_videos(
    cfg: CfgNode,
    model: nn.Module,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(collecting, "all_gather", lambda value: [value, value])
    monkeypatch.setattr(collecting, "wait_for_all", lambda: None)
    counts = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        counts.append(len(collect(cfg, model, DATASET, tmp_path, ["cooperation"])))
    assert counts == [2, 3]
    for path in files:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_video_that_cannot_be_read_is_no_reason_to_stop(
    cfg: CfgNode, model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper = ClipMapper.__call__
    broken = MetadataCatalog.get(DATASET).load_ground_truth().videos[1]

    def refuse(self: ClipMapper, clip: dict) -> dict | None:
        return None if clip["video_id"] == broken else mapper(self, clip)

    monkeypatch.setattr(ClipMapper, "__call__", refuse)
    found = collect(cfg, model, DATASET, tmp_path, ["cooperation"])
    lengths = [len(VideoSamples.load(path).tubes) for path in found]
    assert lengths[1] == 0
    assert lengths[0] > 0
    assert len(SampleStore(found, "cooperation", 1 << 30, 0.5).shard(0).classes) > 0


def test_an_epoch_draws_negatives_by_the_positives_of_their_class() -> None:
    # By class: of other tubes, of tubes with positives, positive.
    rates = draw_rates(np.array([[1000, 100, 50], [90, 10, 30], [400, 0, 0]]), negatives=2.0)
    np.testing.assert_allclose(rates, [[0.1, 1, 1], [60 / 90, 1, 1], [0, 0, 1]])


def test_weights_balance_classes_and_labels() -> None:
    # 100 boxes in three pairs of class and label that occur: 33.3 on the average.
    counts = np.array([[50, 30, 10], [10, 0, 0]])
    weights = class_weights(counts)
    np.testing.assert_allclose(weights[0] * 80, [100 / 3, 100 / 3, 800 / 3])
    np.testing.assert_allclose(weights[1] * 10, [100 / 3, 100 / 3, 0])
    assert class_weights(np.array([[100000, 0, 1]]))[0, 2] == actionness_fit.MAX_WEIGHT


def store_of(folder: Path, memory: int = 1 << 30, seed: int = 0) -> SampleStore:
    """Videos of two classes; the first feature is positive where class 0 happens, negative where
    class 1 does."""
    generator = np.random.default_rng(seed)
    paths = []
    for video in range(4):
        labels = generator.integers(0, 2, 60).astype(np.int8)
        cls = video % 2
        features = generator.normal(size=(60, 3, 2, 2)).astype(np.float32)
        features[:, 0] = ((2.0 * labels - 1) * (1 - 2 * cls))[:, None, None]
        tubes = Tubes(
            np.array([f"v{video}"]),
            np.array(["a", "b", "c"]),
            *([0], [cls], [1.0], [1], [0, 60]),
            np.tile([0, 0, 9, 9], (60, 1)),
            np.ones(60),
        )
        samples = VideoSamples(tubes, np.arange(60), np.ones(60, bool), labels.astype(float))
        paths.append(folder / f"{video:06d}.npz")
        samples.save(paths[-1], {"cooperation": features})
    return SampleStore(paths, "cooperation", memory, 0.5)


def new_head(**options: object) -> ActionnessHead:
    torch.manual_seed(0)
    shape = ShapeSpec(channels=3, height=2, width=2)
    return ActionnessHead(shape, num_classes=3, fc_dims=[], **options)


def fit_config(epochs: int) -> CfgNode:
    small = {"EPOCHS": epochs, "BATCH_SIZE": 16, "BASE_LR": 0.05, "FOLDS": 2}
    return tiny_config([x for k, v in small.items() for x in (f"SOLVER.ACTIONNESS.{k}", v)])


def errors(head: ActionnessHead, store: SampleStore) -> float:
    values = np.concatenate(predict_videos(head, store))
    return float(np.mean((values > 0.5) != np.concatenate([s.overlaps for s in store.samples])))


def test_classes_that_contradict_need_their_own_classifiers(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    specific = fit(fit_config(5), new_head(), store)
    general = fit(fit_config(5), new_head(class_specific=False), store)
    assert errors(specific, store) < 0.02
    assert errors(general, store) > 0.3
    assert not any(p.requires_grad for p in specific.parameters())


def test_class_without_samples_is_left_alone(tmp_path: Path) -> None:
    head = fit(fit_config(2), new_head(), store_of(tmp_path))
    values = predict(head, np.random.default_rng(1).normal(size=(5, 3, 2, 2)), np.full(5, 2))
    assert values.min() > 0.99


def test_fit_in_shards_of_bounded_memory(tmp_path: Path) -> None:
    store = store_of(tmp_path, memory=1)
    assert len(store) == 4
    assert errors(fit(fit_config(5), new_head(), store), store) < 0.02
    whole = new_head()
    standardise(whole, store_of(tmp_path))
    parts = new_head()
    standardise(parts, store)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.std, whole.std)


def test_interrupted_fit_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cfg, state = store_of(tmp_path), fit_config(4), tmp_path / "state.pth"
    expected = fit(cfg, new_head(), store).state_dict()
    train_epoch = actionness_fit._train_epoch

    def stop_at_2(*arguments: object) -> float:
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(actionness_fit, "_train_epoch", stop_at_2)
    with pytest.raises(KeyboardInterrupt):
        fit(cfg, new_head(), store, state)
    monkeypatch.setattr(actionness_fit, "_train_epoch", train_epoch)
    resumed = fit(cfg, new_head(), store, state).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.items())


def test_fit_is_kept_until_what_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, cfg = store_of(tmp_path).files, fit_config(1)
    cfg.MODEL.ACTIONNESS.FEATURES = "cooperation"
    fits = []
    whole = actionness_fit.fit
    monkeypatch.setattr(actionness_fit, "fit", lambda *a: fits.append(1) or whole(*a))
    first = fit_once(ActionnessTask(cfg), new_head(), files, tmp_path, "head").state_dict()
    again = fit_once(ActionnessTask(cfg), new_head(), files, tmp_path, "head").state_dict()
    assert all(torch.equal(value, first[key]) for key, value in again.items())
    cfg.SOLVER.ACTIONNESS.WINDOWS = (1,)
    fit_once(ActionnessTask(cfg), new_head(), files, tmp_path, "head")
    assert len(fits) == 1
    cfg.SOLVER.ACTIONNESS.BASE_LR = 0.01
    fit_once(ActionnessTask(cfg), new_head(), files, tmp_path, "head")
    fit_once(ActionnessTask(cfg), new_head(), files[1:], tmp_path, "head")
    assert len(fits) == 3


def test_boxes_that_are_negative_for_where_they_are_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = VideoSamples.load(store_of(tmp_path).files[0])
    overlaps = np.repeat([0.9, 0.4, 0.0], [7, 33, 20])
    with caplog.at_level(logging.INFO, "pcsc_d2"):
        say_loose([replace(samples, overlaps=overlaps)], 0.5)
        say_loose([replace(samples, overlaps=overlaps)], 0.3)
        say_loose([replace(samples, overlaps=np.minimum(overlaps, 0.2))], 0.3)  # follows nobody
    said = [record.message for record in caplog.records]
    assert [re.findall(r"\d+ negative|\d+ overlap", line) for line in said] == [
        ["53 negative", "33 overlap"],
        ["20 negative", "0 overlap"],
        ["0 negative", "0 overlap"],
    ]


def test_one_video_is_too_few_to_hold_any_back(tmp_path: Path) -> None:
    files = store_of(tmp_path).files[:1]
    with pytest.raises(ValueError, match="1 training videos"):
        fit_parts(ActionnessTask(fit_config(1)), new_head(), files, tmp_path)


def test_damaged_samples_are_named(tmp_path: Path) -> None:
    store_of(tmp_path)
    path = tmp_path / "000001.npz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="000001"):
        SampleStore([path], "cooperation", 1 << 30, 0.5).shard(0)


def run(folder: Path, *arguments: str) -> dict | None:
    config = str(CONFIGS / "synthetic" / "quick.yaml")
    small = {
        **SMALL,
        "TEST.EVAL_ALL_STAGES": False,
        "MODEL.COOPERATION.NUM_STAGES": 1,
        "SOLVER.ACTIONNESS.EPOCHS": 1,
        "SOLVER.ACTIONNESS.FOLDS": 2,
        "TEST.TUBES.MIN_LENGTH": 3,
    }
    options = [str(x) for pair in small.items() for x in pair]
    line = ["--config-file", config, *arguments, "OUTPUT_DIR", str(folder), *options]
    return train_actionness.main(default_argument_parser().parse_args(line))


def test_command_leaves_one_checkpoint_that_evaluation_uses(tmp_path: Path, root: Path) -> None:
    torch.manual_seed(0)
    small = [x for pair in SMALL.items() for x in pair]
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "synthetic" / "quick.yaml"))
    cfg.merge_from_list([*small, "MODEL.COOPERATION.NUM_STAGES", 1])
    detector = tmp_path / "detector.pth"
    torch.save({"model": build_model(cfg).state_dict()}, detector)
    scores = run(tmp_path / "out", "MODEL.WEIGHTS", str(detector))
    assert set(scores) >= {"frame", "video", "video_unrefined"}

    state = torch.load(tmp_path / "out" / "model_final.pth", weights_only=True)["model"]
    before = torch.load(detector, weights_only=True)["model"]
    assert all(torch.equal(state[key], value) for key, value in before.items())
    chosen = json.loads((tmp_path / "out" / "refinement.json").read_text())
    assert state["roi_heads.actionness_head.window"] == chosen["window"]
    results = json.loads(
        (tmp_path / "out" / "inference" / "synthetic_easy_test" / "results.json").read_text()
    )
    assert results["refinement"]["window"] == chosen["window"]
    assert results["refinement"]["threshold"] == pytest.approx(chosen["threshold"])

    # The config that was written evaluates it, and gives the same.
    written = str(tmp_path / "out" / "config.yaml")
    line = ["--config-file", written, "--eval-only", "OUTPUT_DIR", str(tmp_path / "again")]
    assert str(train(default_argument_parser().parse_args(line))) == str(scores)

    # Going on with all done does nothing again, but evaluate.
    samples = sorted((tmp_path / "out" / "actionness").rglob("0*.npz"))
    made = [path.stat().st_mtime_ns for path in samples]
    assert str(run(tmp_path / "out", "--resume", "MODEL.WEIGHTS", str(detector))) == str(scores)
    assert [path.stat().st_mtime_ns for path in samples] == made


def test_command_without_a_detector(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        run(tmp_path)
