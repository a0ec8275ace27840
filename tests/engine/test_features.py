"""Training and evaluating on cached maps of frozen trunks comes to what clips come to."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import get_detection_dataset_dicts
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from pcsc_d2.cli import main
from pcsc_d2.data import ClipMapper, training_dicts
from pcsc_d2.data.datasets import annotated_dicts
from pcsc_d2.engine import Trainer, epochs_to_iterations, features
from pcsc_d2.engine.actionness.collect import collect
from pcsc_d2.engine.features import build_mapper, feature_stores, precompute_features
from pcsc_d2.engine.frozen_trunks import frozen_streams
from pcsc_d2.experiments.stages import scores as stage_scores
from pcsc_d2.layers import InceptionI3D
from pcsc_d2.layers.window_trunk import LEVELS, WindowTrunk, trunk_parts
from pcsc_d2.modeling import TwoStreamRCNN
from tests.tiny import tiny_config

CACHED = ("MODEL.I3D.FEATURES", "cached")
TRAIN, TEST = "synthetic_easy_train", "synthetic_easy_test"


def plausible(trunk: InceptionI3D) -> InceptionI3D:
    """Statistics as of a trained trunk, without which its maps vanish."""
    for norm in trunk.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            norm.bias.data.normal_(std=0.2)
            norm.momentum = None
    for _ in range(2):
        # Of so many cells of c5 that no channel seems to vary too little, and is blown up.
        trunk.train()(torch.rand(8, trunk.in_channels, 8, 64, 64) * 2 - 1)
    return trunk.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Trunks' weights files as options of a config."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for stream, channels in (("RGB", 3), ("FLOW", 2)):
        trunk = plausible(InceptionI3D(channels, width=0.0625))
        torch.save(trunk.state_dict(), folder / f"{stream}.pt")
    return tuple(
        x for s in ("RGB", "FLOW") for x in (f"MODEL.{s}.WEIGHTS", str(folder / f"{s}.pt"))
    )


@pytest.fixture
def cfg(weights: tuple, tmp_path: Path) -> CfgNode:
    return config(tmp_path, *weights, *CACHED)


def config(folder: Path, *options: object) -> CfgNode:
    small = ("INPUT.CLIP_LENGTH", 4, "INPUT.MIN_SIZE_TEST", 48, "INPUT.MIN_SIZE_TRAIN", (48,))
    cfg = tiny_config(
        [
            *("MODEL.I3D.NORM", "FrozenBN", "INPUT.FEATURES.FOLDER", str(folder / "features")),
            *("MODEL.COOPERATION.NUM_STAGES", 1, "MODEL.COOPERATION.IMAGE_MESSAGES", True),
            *("SOLVER.EPOCHS", 0.0, "SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2),
            *("SOLVER.STEPS", (), "INPUT.FEATURES.KEY_FRAMES", 3),
            # To the digit: what engines change is a test of its own.
            *("INPUT.FEATURES.ENGINE", "torch"),
            *("OUTPUT_DIR", str(folder / "out"), *small, *options),
        ]
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (TRAIN,), (TEST,)
    return cfg


@contextmanager
def half_precision(model: TwoStreamRCNN) -> Iterator[None]:
    """Trunks whose maps are rounded as they are on disk."""

    def rounded(trunk: object, clips: object, maps: dict) -> dict:
        return {level: x.half().float() for level, x in maps.items()}

    trunks = [model.rgb.backbone.bottom_up, model.flow.backbone.bottom_up]
    hooks = [trunk.register_forward_hook(rounded) for trunk in trunks]
    yield
    for hook in hooks:
        hook.remove()


def close(a: Instances, b: Instances) -> None:
    """Each is among the others, in whatever order: nearly equal scores may change places."""
    assert len(a) == len(b) > 0
    boxes = (a.pred_boxes.tensor[:, None] - b.pred_boxes.tensor).abs().amax(dim=2) < 0.05
    scores = (a.scores[:, None] - b.scores).abs() < 2e-3
    same = boxes & scores & (a.pred_classes[:, None] == b.pred_classes)
    assert same.any(dim=0).all()
    assert same.any(dim=1).all()


@pytest.mark.parametrize("levels", [[], ["c3", "c4", "c5"]], ids=["all levels", "without c2"])
def test_detections_are_those_of_clips(levels: list[str], cfg: CfgNode) -> None:
    cfg.MODEL.FPN.IN_FEATURES = levels
    if levels:
        cfg.MODEL.RPN.IN_FEATURES = ["p3", "p4", "p5", "p6"]
        cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p3", "p4", "p5"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128]]
    precompute_features(cfg, test=[TEST])
    torch.manual_seed(1)
    model = build_model(cfg).eval()
    cached, clips = build_mapper(cfg, False), ClipMapper(cfg, is_train=False)
    for d in get_detection_dataset_dicts(TEST, filter_empty=False)[:3]:
        maps = cached(d)
        assert "rgb" not in maps
        one, other = model([maps])[0], model([clips(d)])[0]
        scores, expected = one["instances"].scores, other["instances"].scores
        assert len(scores) == len(expected) > 0
        assert (scores - expected).abs().mean() < 1e-3
        # With rounded maps in both, they find the same.
        with half_precision(model):
            close(one["instances"], model([clips(d)])[0]["instances"])


@pytest.mark.parametrize("mirrored", [False, True])
def test_training_examples_are_those_of_clips(mirrored: bool, cfg: CfgNode) -> None:
    precompute_features(cfg, train=True)
    cached, clips = build_mapper(cfg, True), ClipMapper(cfg, is_train=True)
    model = build_model(cfg).eval()
    d = training_dicts(cfg)[1]
    maps = next(x for x in (cached(d, seed) for seed in range(50)) if flipped(x, d) == mirrored)
    clip = next(x for x in (clips(d, seed) for seed in range(50)) if flipped(x, d) == mirrored)
    boxes = [x["instances"].gt_boxes.tensor for x in (maps, clip)]
    torch.testing.assert_close(*boxes)
    assert torch.equal(maps["instances"].gt_classes, clip["instances"].gt_classes)
    for s, stream in (("rgb", model.rgb), ("flow", model.flow)):
        expected = stream.backbone.bottom_up(stream.preprocess([clip]).tensor)
        for level, x in maps["features"][s].items():
            assert expected[level].abs().max() > 0.1
            torch.testing.assert_close(x[None].float(), expected[level], atol=2e-3, rtol=2e-3)


def flipped(example: dict, of: dict) -> bool:
    x1, _, x2, _ = of["annotations"][0]["bbox"]
    scale = example["instances"].image_size[1] / of["width"]
    centre = example["instances"].gt_boxes.tensor[0, [0, 2]].mean() / scale
    assert abs(x1 + x2 - of["width"]) > 4, "cannot be told from its mirror image"
    return bool(abs(centre - (x1 + x2) / 2) > 1)


def test_losses_are_those_of_clips_and_trunks_stay(cfg: CfgNode) -> None:
    precompute_features(cfg, train=True)
    cfg.INPUT.RANDOM_FLIP = "none"
    precompute_features(cfg, train=True)
    mappers = build_mapper(cfg, True), ClipMapper(cfg, is_train=True)
    torch.manual_seed(0)
    model, losses = build_model(cfg).train(), []
    for mapper in mappers:
        torch.manual_seed(3)
        with EventStorage():
            losses.append(model([mapper(d) for d in training_dicts(cfg)[:2]]))
    assert losses[0].keys() == losses[1].keys()
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name], atol=0.02, rtol=0.02)
    sum(losses[0].values()).backward()
    trunks = [p for s in (model.rgb, model.flow) for p in s.backbone.bottom_up.parameters()]
    assert all(p.grad is None for p in trunks)
    assert model.flow.backbone.top_down.fpn_lateral5.weight.grad.abs().sum() > 0


def test_trains_and_evaluates_by_one_key(cfg: CfgNode) -> None:
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert not any("bottom_up" in k for k in changed)
    # The same model, evaluated on clips.
    scores = Trainer.test(cfg, trainer.model)
    cfg.INPUT.FEATURES.EVALUATION = False
    on_clips = Trainer.test(cfg, trainer.model)
    assert scores.keys() == on_clips.keys()


def test_key_frames_are_spread_and_counted(cfg: CfgNode) -> None:
    whole, some = annotated_dicts(cfg), training_dicts(cfg)
    for video in {d["video_id"] for d in whole}:
        frames = [d["frame_index"] for d in whole if d["video_id"] == video]
        chosen = [d["frame_index"] for d in some if d["video_id"] == video]
        assert chosen == [frames[int((i + 0.5) * len(frames) / 3)] for i in range(3)]
    cfg.SOLVER.EPOCHS = 2.0
    assert len(some) == epochs_to_iterations(cfg).SOLVER.MAX_ITER
    cfg.INPUT.FEATURES.KEY_FRAMES = 0
    assert training_dicts(cfg) == whole


def test_what_is_there_is_not_computed_again(
    cfg: CfgNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pcsc_d2")
    precompute_features(cfg, train=True)
    (said,) = [r.getMessage() for r in caplog.records if "GB in" in r.getMessage()]
    assert said.startswith("maps of 9 key frames of 3 videos are computed and kept: ")
    stores = feature_stores(cfg, True)
    paths = [store.path(training_dicts(cfg)[0], m) for store in stores.values() for m in (0, 1)]
    assert all(path.is_file() for path in paths)
    made = [path.stat().st_mtime_ns for path in paths]
    # An interrupted run goes on: what is missing is made, nothing else.
    paths[1].unlink()
    precompute_features(cfg, train=True)
    again = [path.stat().st_mtime_ns for path in paths]
    assert [a == b for a, b in zip(made, again)] == [True, False, True, True]
    monkeypatch.setattr(features, "_Computation", None)
    precompute_features(cfg, train=True)
    # Heads, solver and stages have nothing to do with them.
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
    cfg.MODEL.COOPERATION.NUM_STAGES = 2
    precompute_features(cfg, train=True)


@pytest.mark.parametrize(
    ("key", "value", "differ"),
    [
        ("INPUT.CLIP_LENGTH", 8, {"rgb", "flow"}),
        ("INPUT.MIN_SIZE_TRAIN", (40,), {"rgb", "flow"}),
        ("INPUT.FLOW.BOUND", 10.0, {"flow"}),
        ("MODEL.I3D.TIME_POOL", "middle", {"rgb", "flow"}),
        ("MODEL.RGB.WEIGHTS", "another", {"rgb"}),
    ],
)
def test_other_settings_have_maps_of_their_own(
    key: str, value: object, differ: set[str], cfg: CfgNode, tmp_path: Path
) -> None:
    before = feature_stores(cfg, True)
    if value == "another":
        value = str(tmp_path / "another.pt")
        torch.save(InceptionI3D(3, width=0.0625).state_dict(), value)
    cfg.merge_from_list([key, value])
    after = feature_stores(cfg, True)
    assert {s for s in before if before[s].folder != after[s].folder} == differ


def test_changed_video_is_computed_again(cfg: CfgNode, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"1")
    clip = {"file_name": str(tmp_path / "video"), "flow_key": "x/video", "frame_index": 3}
    store = next(iter(feature_stores(cfg, True).values()))
    with store.create(clip, False, 2, {"c3": (1, 2, 2)}) as records:
        features.fill(records, [3], {"c3": torch.full((1, 1, 2, 2), 0.5)}, 0)
    assert store.holds([clip], False)
    assert not store.holds([clip], True)
    assert not store.holds([{**clip, "frame_index": 4}], False)
    assert np.array_equal(store.read(clip, False)["c3"], np.full((1, 2, 2), 0.5))
    (tmp_path / "video").write_bytes(b"12")
    assert not store.holds([clip], False)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_make_the_same_maps(engine: str, cfg: CfgNode, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    made = {}
    for name in ("torch", engine):
        cfg.INPUT.FEATURES.ENGINE = name
        precompute_features(cfg, test=[TEST])
        # Neither where they are kept nor what they are is told by the engine.
        clip = get_detection_dataset_dicts(TEST, filter_empty=False)[0]
        made[name] = {s: x.read(clip, False) for s, x in feature_stores(cfg, False).items()}
        shutil.rmtree(tmp_path / "features")
    for s, maps in made["torch"].items():
        for level, x in maps.items():
            assert x.abs().max() > 0.1
            torch.testing.assert_close(made[engine][s][level], x, atol=1e-3, rtol=1e-3)


def test_key_frames_share_the_work(cfg: CfgNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_WINDOW", 4)
    cfg.INPUT.FEATURES.DENSE = True
    precompute_features(cfg, test=[TEST])
    dicts = get_detection_dataset_dicts(TEST, filter_empty=False)[4:8]
    clips = [ClipMapper(cfg, is_train=False)(d) for d in dicts]
    for s, stream in frozen_streams(cfg).items():
        # Each clip is the one before, a frame later.
        ends = [clip[stream.reads][:, -1:] for clip in clips[1:]]
        seen = torch.cat([clips[0][stream.reads], *ends], dim=1)
        frames = stream.preprocess([{stream.reads: seen}]).tensor
        bottom_up = stream.backbone.bottom_up
        trunk = WindowTrunk(trunk_parts(bottom_up.trunk), 4, bottom_up.time_pool)
        expected = dict(zip(LEVELS, trunk.window(frames, [0, 1, 2, 3], shared=1, step=4)))
        alone = bottom_up(stream.preprocess(clips).tensor)
        for i, d in enumerate(dicts):
            maps = feature_stores(cfg, False)[s].read(d, False)
            for level, x in maps.items():
                assert expected[level].abs().max() > 0.1
                torch.testing.assert_close(x.float(), expected[level][i], atol=2e-3, rtol=2e-3)
            assert i not in (1, 2) or (maps["c4"] - alone["c4"][i]).abs().max() > 0.02


def test_shared_maps_are_kept_apart(cfg: CfgNode) -> None:
    def folders(is_train: bool) -> list[Path]:
        return [store.folder for store in feature_stores(cfg, is_train).values()]

    train, test = folders(True), folders(False)
    cfg.INPUT.FEATURES.DENSE = True
    assert folders(True) == train
    assert not {*folders(False)} & {*test}
    # A few key frames of a video share nothing.
    cfg.TEST.KEY_FRAMES = 3
    assert folders(False) == test


def test_windows_end_where_clips_do_not_meet() -> None:
    def clip(frame: int) -> dict:
        frames = torch.arange(frame - 2, frame + 2)[None]
        return {"frame_index": frame, "rgb": frames, "flow": -frames}

    clips = [clip(frame) for frame in (3, 4, 8, 13, 14)]
    groups = list(features._together(clips, 4))
    assert [[x["frame_index"] for x in group] for group in groups] == [[3, 4, 8], [13, 14]]
    window, starts = features._window_of(groups[0])
    assert starts == [0, 1, 5]
    assert window["rgb"].tolist() == [list(range(1, 10))]
    assert window["flow"].tolist() == [[-x for x in range(1, 10)]]


def test_full_disk_is_said_before_the_work(cfg: CfgNode, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = features.shutil.disk_usage(".")._replace(free=10)
    monkeypatch.setattr(features.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match=r"9 key frames of 3 videos take .* GB are free"):
        precompute_features(cfg, train=True)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("INPUT.CROP.ENABLED", True), "goes with one INPUT.MIN_SIZE_TRAIN"),
        (("INPUT.MIN_SIZE_TRAIN", (40, 48)), "goes with one INPUT.MIN_SIZE_TRAIN"),
        (("MODEL.FLOW.WEIGHTS", ""), "MODEL.FLOW.WEIGHTS is empty"),
        (("MODEL.I3D.FEATURES", "cache"), "'clips' or 'cached', not 'cache'"),
    ],
)
def test_what_cannot_go_with_maps(options: tuple, line: str, cfg: CfgNode) -> None:
    cfg.merge_from_list(list(options))
    with pytest.raises(ValueError, match=line):
        precompute_features(cfg, train=True)


def test_checkpoint_of_other_trunks_is_refused(cfg: CfgNode, tmp_path: Path) -> None:
    cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = 1, ()
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    trainer.train()
    Trainer(cfg).resume_or_load(True)
    torch.save(InceptionI3D(3, width=0.0625).state_dict(), tmp_path / "another.pt")
    cfg.MODEL.RGB.WEIGHTS = str(tmp_path / "another.pt")
    with pytest.raises(ValueError, match="rgb trunk of this checkpoint"):
        Trainer(cfg).resume_or_load(True)
    # Named as what the run starts from, it has the maps that it had.
    cfg.MODEL.WEIGHTS = str(tmp_path / "out" / "model_final.pth")
    Trainer(cfg).resume_or_load(False)


def test_actionness_and_stages_look_at_maps_too(
    cfg: CfgNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cfg.MODEL.ACTIONNESS.ON = True
    precompute_features(cfg, test=[TEST])
    model = build_model(cfg).eval()
    monkeypatch.setattr(features, "ClipMapper", None)
    (file,) = collect(cfg, model, TEST, tmp_path / "actionness", ["cooperation"])
    assert file.is_file()
    monkeypatch.setattr(stage_scores, "load_detector", lambda folder: (cfg, model))
    scored = set(stage_scores.score_run(tmp_path, TEST)["frame"])
    assert scored >= {"union/0", "union/1", "rgb_alone/0", "flow_alone/0"}


def test_command_computes_what_training_wants(weights: tuple, tmp_path: Path) -> None:
    small = {
        "MODEL.I3D.WIDTH": 0.0625,
        "INPUT.CLIP_LENGTH": 4,
        "INPUT.MIN_SIZE_TRAIN": "(48,)",
        "INPUT.MIN_SIZE_TEST": 48,
        "INPUT.FEATURES.FOLDER": tmp_path / "features",
        "INPUT.FEATURES.EVALUATION": False,
        "DATASETS.TRAIN": (TRAIN,),
        "DATASETS.TEST": (TEST,),
    }
    options = [*weights, *(str(x) for pair in small.items() for x in pair)]
    assert main(["features", "--config-file", "synthetic/quick.yaml", *options]) == 0
    made = {path.relative_to(tmp_path / "features") for path in tmp_path.rglob("*.npy")}
    # Three videos, both streams, mirrored or not.
    assert len(made) == 12
    assert main(["features", "--config-file", "synthetic/quick.yaml", *options]) == 0
    more = ["features", "--config-file", "synthetic/quick.yaml", "--datasets", TEST, "--"]
    assert main([*more, *options]) == 0
    assert len(list(tmp_path.rglob("*.npy"))) == 14
