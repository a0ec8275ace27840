"""The two-stream model: what it is made of, what it learns from, what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

import pcsc_d2
from pcsc_d2.layers import InceptionI3D
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.visualization import TRUTH
from tests.tiny import tiny_config, tiny_input

STAGES = ["MODEL.COOPERATION.NUM_STAGES", 4]
FULL = [*STAGES, "MODEL.COOPERATION.IMAGE_MESSAGES", True]
EVERY = ["TEST.EVAL_ALL_STAGES", True]
NO_ROI_MESSAGES = ["MODEL.COOPERATION.ROI_MESSAGES", False]
RGB_LOSSES = {f"loss_{k}_rgb" for k in ("rpn_cls", "rpn_loc", "cls_stage0", "box_reg_stage0")}


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(0)


@pytest.fixture
def storage() -> Iterator[EventStorage]:
    with EventStorage() as opened:
        yield opened


def model(options: list | None = None) -> TwoStreamRCNN:
    return build_model(tiny_config(options))


def losses_of(built: TwoStreamRCNN, inputs: list[dict]) -> dict[str, torch.Tensor]:
    """The losses of one draw of anchors and proposals, equal for all models."""
    torch.manual_seed(1)
    return built.train()(inputs)


def stem(built: TwoStreamRCNN, stream: str) -> torch.nn.Parameter:
    return built.get_submodule(stream).backbone.bottom_up.trunk.Conv3d_1a_7x7.conv3d.weight


def assert_same_detections(a: Instances, b: Instances) -> None:
    assert len(a) > 0
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)
    assert torch.equal(a.scores, b.scores)
    assert torch.equal(a.pred_classes, b.pred_classes)


# --- the baseline and what cooperation adds ---


def test_baseline_has_nothing_of_cooperation() -> None:
    names = [name for name, _ in model().named_parameters()]
    assert not [n for n in names if "message" in n or "stage_heads" in n]
    assert any("message" in n for n, _ in model(FULL).named_parameters())


@pytest.fixture
def baseline_and_full() -> tuple[TwoStreamRCNN, TwoStreamRCNN]:
    """With the same weights; the messages of the full model are untrained."""
    full, baseline = model(FULL + EVERY), model()
    fit = baseline.load_state_dict(full.state_dict(), strict=False)
    assert not fit.missing_keys
    added = ("image_messages", "roi_heads.stage_heads", "roi_heads.roi_messages")
    assert all(key.startswith(added) for key in fit.unexpected_keys)
    return baseline, full


def test_stage0_detects_what_the_baseline_does(
    baseline_and_full: tuple[TwoStreamRCNN, TwoStreamRCNN],
) -> None:
    baseline, full = (m.eval() for m in baseline_and_full)
    (of_baseline,), (of_full,) = baseline([tiny_input()]), full([tiny_input()])
    assert_same_detections(of_baseline["instances"], of_full["stages"][0])


def test_stage0_learns_what_the_baseline_does(
    baseline_and_full: tuple[TwoStreamRCNN, TwoStreamRCNN], storage: EventStorage
) -> None:
    inputs = [tiny_input(0), tiny_input(1, boxes=2)]
    baseline, full = (losses_of(m, inputs) for m in baseline_and_full)
    assert set(baseline) == RGB_LOSSES | {k.replace("rgb", "flow") for k in RGB_LOSSES}
    assert all(torch.equal(baseline[k], full[k]) for k in baseline)


def test_losses_are_named_by_stage_and_stream(storage: EventStorage) -> None:
    losses = losses_of(model(FULL), [tiny_input()])
    stages = {
        f"loss_{kind}_stage{stage}"
        for kind in ("cls", "box_reg")
        for stage in ("1_rgb", "2_flow", "3_rgb", "4_flow")
    }
    assert set(losses) == RGB_LOSSES | {k.replace("rgb", "flow") for k in RGB_LOSSES} | stages
    scopes = {name.split("/")[0] for name in storage.latest()}
    assert {"rgb_rpn", "flow_rpn", "rgb_stage0", "flow_stage0", "flow_stage4"} <= scopes


def test_untrained_messages_change_nothing() -> None:
    with_messages, without = model(FULL + EVERY), model(STAGES + EVERY + NO_ROI_MESSAGES)
    assert not without.load_state_dict(with_messages.state_dict(), strict=False).missing_keys
    (a,), (b,) = with_messages.eval()([tiny_input()]), without.eval()([tiny_input()])
    for of_a, of_b in zip(a["stages"], b["stages"]):
        assert_same_detections(of_a, of_b)


@pytest.mark.parametrize(
    "option", ["MODEL.COOPERATION.IMAGE_MESSAGES", "MODEL.COOPERATION.ROI_MESSAGES"]
)
def test_trained_messages_change_detections(option: str) -> None:
    built = model([*STAGES, *NO_ROI_MESSAGES, option, True]).eval()
    (before,) = built([tiny_input()])
    for name, weight in built.named_parameters():
        if "messages" in name and "restore" in name:
            torch.nn.init.normal_(weight)
    (after,) = built([tiny_input()])
    assert before["instances"].scores.tolist() != after["instances"].scores.tolist()


def test_stages_start_from_the_heads_of_a_baseline() -> None:
    baseline, full = model(), model(FULL)
    state = baseline.state_dict()
    fit = full.load_state_dict(state, strict=False)
    assert all("messages" in key for key in fit.missing_keys)
    for stage, stream in enumerate(("rgb", "flow", "rgb", "flow")):
        for key, value in full.roi_heads.stage_heads[stage].state_dict().items():
            assert torch.equal(value, state[f"roi_heads.stage0_heads.{stream}.{key}"])
    # Weights that hold stages keep them.
    again = model(FULL)
    torch.nn.init.normal_(full.roi_heads.stage_heads[2].predictor.cls_score.weight)
    again.load_state_dict(full.state_dict())
    assert torch.equal(
        again.roi_heads.stage_heads[2].predictor.cls_score.weight,
        full.roi_heads.stage_heads[2].predictor.cls_score.weight,
    )


def test_messages_that_rest_are_left_out_and_still_get_a_gradient(storage: EventStorage) -> None:
    built = model(FULL)
    for message in built.image_messages.values():
        torch.nn.init.normal_(message.restore.weight)
    (with_messages,) = built.eval()([tiny_input()])
    built.active_messages = False
    (without,) = built([tiny_input()])
    assert with_messages["instances"].scores.tolist() != without["instances"].scores.tolist()
    losses = losses_of(built, [tiny_input()])
    sum(losses.values()).backward()
    assert losses["loss_idle_messages"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in built.image_messages.parameters())


def test_head_outputs_give_every_way_of_putting_them_together() -> None:
    built = model(FULL + EVERY).eval()
    (output,) = built([tiny_input()])
    with torch.no_grad():
        images, pyramids = built.extract_features([tiny_input()])
        proposals, _ = built.propose(images, pyramids, None)
    sources = built.roi_heads.head_outputs(pyramids, proposals)
    assert [s.stream for s in sources] == ["rgb", "flow", "rgb", "flow", "rgb", "flow"]
    assert [list(s.origins) for s in sources] == [["rpn"]] * 2 + [["own", "cross"]] * 4
    for stage, expected in zip(built.roi_heads.detections(sources), output["stages"]):
        assert_same_detections(stage[0], expected)
    (last,) = built.roi_heads.detections(sources, "average", every_stage=False)
    assert last[0].scores.tolist() != output["instances"].scores.tolist()


def test_every_stage_is_given_where_asked_for() -> None:
    built = model(FULL + EVERY).eval()
    (output,) = built([tiny_input()])
    assert len(output["stages"]) == 5
    assert output["instances"] is output["stages"][-1]
    (last,) = build_model(tiny_config(FULL)).eval()([tiny_input()])
    assert list(last) == ["instances"]


# --- gradients ---


@pytest.mark.parametrize("options", [[], FULL])
def test_gradients_reach_every_parameter_of_both_trunks(
    options: list, storage: EventStorage
) -> None:
    built = model(options)
    sum(losses_of(built, [tiny_input(0), tiny_input(1)]).values()).backward()
    for stream in ("rgb", "flow"):
        for name, weight in built.get_submodule(stream).backbone.named_parameters():
            assert weight.grad is not None, f"{stream} {name}"
        assert stem(built, stream).grad.abs().sum() > 0
    # DistributedDataParallel waits for a gradient of each parameter.
    assert all(p.grad is not None for p in built.parameters())


def stage_gradients(
    built: TwoStreamRCNN, stages: tuple[str, ...] = ("1_rgb", "2_flow", "3_rgb", "4_flow")
) -> dict[str, dict[str, float]]:
    """How strongly each stage's classification loss pulls on the stem of each stream."""
    losses = losses_of(built, [tiny_input(boxes=2)])
    stems = [stem(built, "rgb"), stem(built, "flow")]
    found = {}
    for stage in stages:
        loss = losses[f"loss_cls_stage{stage}"]
        pulls = torch.autograd.grad(loss, stems, retain_graph=True, allow_unused=True)
        found[stage] = {
            s: 0.0 if g is None else float(g.abs().sum()) for s, g in zip(("rgb", "flow"), pulls)
        }
    return found


def test_trained_roi_messages_pass_gradients_to_both_trunks(storage: EventStorage) -> None:
    built = model(STAGES)
    for stage, pulls in stage_gradients(built).items():
        target = stage[2:]
        assert pulls.pop(target) > 0
        assert set(pulls.values()) == {0.0}, "the restoring convolution still is zero"
    for message in built.roi_heads.roi_messages:
        torch.nn.init.normal_(message.restore.weight)
    for pulls in stage_gradients(built).values():
        assert min(pulls.values()) > 0


def test_messages_learn_from_the_first_step(storage: EventStorage) -> None:
    built = model(FULL)
    sum(losses_of(built, [tiny_input()]).values()).backward()
    messages = [*built.image_messages.values(), *built.roi_heads.roi_messages]
    assert len(messages) == 8
    assert all(m.restore.weight.grad.abs().sum() > 0 for m in messages)


def test_control_keeps_streams_apart(storage: EventStorage) -> None:
    # So many that nothing is left to chance, which one stream's boxes would move for the other.
    every_box = ["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 512]
    built = model([*FULL, *every_box, "MODEL.COOPERATION.OWN_STREAM_CONTROL", True])
    assert not [n for n, _ in built.named_parameters() if "message" in n]
    for stage, pulls in stage_gradients(built).items():
        assert pulls.pop(stage[2:]) > 0
        assert set(pulls.values()) == {0.0}
    clip, other = tiny_input(0, boxes=2), tiny_input(0, boxes=2)
    other["flow"] = -other["flow"]
    with torch.no_grad():
        a, b = losses_of(built, [clip]), losses_of(built, [other])
    assert torch.equal(a["loss_cls_stage3_rgb"], b["loss_cls_stage3_rgb"])
    assert not torch.equal(a["loss_cls_stage4_flow"], b["loss_cls_stage4_flow"])


# --- inputs ---


def test_clip_as_long_as_it_has_channels_is_normalised_by_channel() -> None:
    options = ["MODEL.RGB.PIXEL_MEAN", [10.0, 100.0, 200.0], "MODEL.RGB.PIXEL_STD", [50.0] * 3]
    stream = model(options).rgb
    clip = torch.tensor([20.0, 125.0, 100.0]).view(3, 1, 1, 1).expand(3, 3, 64, 64)
    batch = stream.preprocess([{"rgb": clip}]).tensor
    for channel, value in enumerate((0.2, 0.5, -2.0)):  # grey levels are not clipped
        assert torch.all(batch[0, channel] == value)


def test_flow_is_clipped_to_twenty_pixels() -> None:
    clip = torch.tensor([-30.0, 5.0]).view(2, 1, 1, 1).expand(2, 2, 64, 64)
    batch = model().flow.preprocess([{"flow": clip}]).tensor
    assert batch[0, :, 0, 0, 0].tolist() == [-1, 0.25]


def test_images_of_different_size_in_a_batch(storage: EventStorage) -> None:
    built = model(FULL)
    inputs = [tiny_input(0, (64, 96)), tiny_input(1, (96, 64)), tiny_input(2, (50, 70))]
    assert all(torch.isfinite(v) for v in losses_of(built, inputs).values())
    for x, output in zip(inputs, built.eval()(inputs)):
        found = output["instances"]
        assert found.image_size == (x["height"], x["width"])
        assert len(found) > 0
        clipped = found.pred_boxes.clone()
        clipped.clip(found.image_size)
        assert torch.equal(found.pred_boxes.tensor, clipped.tensor)


def test_detections_are_in_pixels_of_the_original_frame() -> None:
    built = model().eval()
    (as_seen,) = built([tiny_input()])
    (doubled,) = built([tiny_input() | {"height": 128, "width": 192}])
    expected = as_seen["instances"].pred_boxes.tensor * 2
    torch.testing.assert_close(doubled["instances"].pred_boxes.tensor, expected)


@pytest.mark.parametrize("numbers", [(0, 1), (0, 0)])
def test_images_without_ground_truth(numbers: tuple[int, ...], storage: EventStorage) -> None:
    inputs = [tiny_input(i, boxes=n) for i, n in enumerate(numbers)]
    losses = losses_of(model(FULL), inputs)
    assert all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()


def test_stages_without_a_single_proposal(storage: EventStorage) -> None:
    # No score is over 1, so no box passes on; without ground truth a stage sees nothing at all.
    cuts = [x for key in ("", "_TRAIN") for x in (f"MODEL.COOPERATION.SCORE_THRESH{key}", 1.0)]
    built = model([*FULL, *cuts])
    losses = losses_of(built, [tiny_input(boxes=0)])
    assert losses["loss_cls_stage1_rgb"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in built.parameters())
    assert len(built.eval()([tiny_input()])[0]["instances"]) > 0


def test_two_rgb_streams() -> None:
    built = model([*FULL, "MODEL.FLOW.SOURCE", "rgb"]).eval()
    assert stem(built, "flow").shape[1] == 3
    assert torch.equal(built.flow.pixel_mean, built.rgb.pixel_mean)
    assert not built.flow.bounded
    clip = tiny_input()
    (output,) = built([clip])
    del clip["flow"]
    (without_flow,) = built([clip])
    assert_same_detections(output["instances"], without_flow["instances"])


def test_a_stream_of_differences() -> None:
    pixels = ["MODEL.FLOW.PIXEL_MEAN", [0.0] * 3, "MODEL.FLOW.PIXEL_STD", [40.0] * 3]
    built = model([*FULL, "MODEL.FLOW.SOURCE", "difference", *pixels]).eval()
    assert stem(built, "flow").shape[1] == 3
    clip = tiny_input()
    seen = built.flow.preprocess([clip]).tensor[0]
    change = clip["rgb"][:, 1].float() - clip["rgb"][:, 0].float()
    expected = (change / 40).clamp(-1, 1)
    assert torch.equal(seen[:, 0, : change.shape[1], : change.shape[2]], expected)
    del clip["flow"]
    assert len(built([clip])[0]["instances"]) > 0


@pytest.mark.parametrize("source", ["difference", "depth"])
def test_a_source_that_a_stream_cannot_have(source: str) -> None:
    with pytest.raises(ValueError, match=f"MODEL.FLOW.SOURCE {source}"):
        model([*FULL, "MODEL.FLOW.SOURCE", source])


# --- pictures ---


def test_one_frozen_trunk_serves_two_rgb_streams() -> None:
    torch.manual_seed(0)
    options = ["MODEL.FLOW.SOURCE", "rgb", "MODEL.COOPERATION.NUM_STAGES", 2]
    one = build_model(tiny_config([*options, "MODEL.I3D.FEATURES", "cached"])).eval()
    two = build_model(tiny_config(options)).eval()
    two.load_state_dict(one.state_dict())
    assert (one.one_trunk, two.one_trunk) == (True, False)
    runs: list[object] = []
    one.rgb.backbone.bottom_up.register_forward_hook(lambda *_: runs.append(None))
    found, expected = (model([tiny_input()])[0]["instances"] for model in (one, two))
    assert len(runs) == 1
    assert len(found) > 0
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(found.scores, expected.scores)


SHARED = ["MODEL.FLOW.SOURCE", "rgb", "MODEL.FLOW.SHARED_TRUNK", True, *STAGES]


def test_two_rgb_streams_train_one_trunk(storage: EventStorage) -> None:
    shared = model(SHARED)
    own = model([*SHARED, "MODEL.FLOW.SHARED_TRUNK", False])
    assert (shared.one_trunk, own.one_trunk) == (True, False)
    own.load_state_dict(shared.state_dict())
    clip = tiny_input()
    expected, found = losses_of(own, [clip]), losses_of(shared, [clip])
    assert all(torch.equal(found[k], expected[k]) for k in expected)
    for losses in (expected, found):
        sum(losses.values()).backward()
    both = stem(own, "rgb").grad + stem(own, "flow").grad
    assert torch.allclose(stem(shared, "rgb").grad, both, rtol=1e-3, atol=1e-5)


def test_a_shared_trunk_is_rgbs_where_the_weights_have_two(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared, own = model(SHARED), model([*SHARED, "MODEL.FLOW.SHARED_TRUNK", False])
    shared.load_state_dict(own.state_dict())
    assert "the weights have two trunks" in caplog.text
    assert torch.equal(stem(shared, "flow"), stem(own, "rgb"))
    assert not torch.equal(stem(shared, "flow"), stem(own, "flow"))
    other = model(SHARED)
    caplog.clear()
    other.load_state_dict(shared.state_dict())
    assert not caplog.text


@pytest.mark.parametrize(("key", "value"), [("SOURCE", "flow"), ("WEIGHTS", "other.pt")])
def test_streams_of_different_kinds_share_no_trunk(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"SHARED_TRUNK is for .* MODEL\.FLOW's .*{value}"):
        model([*SHARED, f"MODEL.FLOW.{key}", value])


def test_picture_of_training(storage: EventStorage) -> None:
    built = model([*STAGES, "VIS_PERIOD", 1]).train()
    built.rgb.backbone.bottom_up.eval()
    modes = [m.training for m in built.modules()]
    built([tiny_input(boxes=2)])
    assert [m.training for m in built.modules()] == modes
    ((name, picture, iteration),) = storage._vis_data
    assert "ground truth" in name
    assert iteration == 0
    factor = picture.shape[1] // (2 * 64)  # small frames are enlarged
    assert picture.shape == (3, 2 * 64 * factor, 3 * 96 * factor)
    columns = np.split(picture.transpose(1, 2, 0), 3, axis=1)
    green = [int((column == TRUTH).all(axis=-1).sum()) for column in columns]
    # Two boxes of 24 x 24, outlined on the frame and on the flow.
    assert green[0] > 2 * 2 * 24 * factor
    assert green[1:] == [0, 0]


def test_picture_changes_nothing_that_is_learned(storage: EventStorage) -> None:
    plain = model(["MODEL.I3D.NORM", "BN"])
    drawn = model(["MODEL.I3D.NORM", "BN", "VIS_PERIOD", 1])
    drawn.load_state_dict(plain.state_dict())
    a, b = (losses_of(m, [tiny_input(0), tiny_input(1)]) for m in (plain, drawn))
    assert all(torch.equal(a[k], b[k]) for k in a)
    state = drawn.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())


def test_pictures_are_drawn_once_a_period() -> None:
    built = model(["VIS_PERIOD", 10]).train()
    for iteration, number in ((9, 0), (10, 1), (11, 0)):
        with EventStorage(iteration) as opened:
            built([tiny_input()])
            assert len(opened._vis_data) == number


# --- from elsewhere ---


def test_trunk_weights_are_read_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    trunk = InceptionI3D(2, width=0.0625, norm="GN")
    path = tmp_path / "flow.pt"
    torch.save(trunk.state_dict(), path)
    own = trunk.state_dict()["Conv3d_1a_7x7.conv3d.weight"]
    assert torch.equal(stem(model(["MODEL.FLOW.WEIGHTS", str(path)]), "flow"), own)
    started = model(["MODEL.FLOW.WEIGHTS", str(path), "MODEL.WEIGHTS", "detector.pth"])
    assert not torch.equal(stem(started, "flow"), own)
    with pytest.raises(ValueError, match=r"flow\.pt"):
        model(["MODEL.RGB.WEIGHTS", str(path)])


def test_built_from_another_project(storage: EventStorage) -> None:
    cfg = get_cfg()
    pcsc_d2.add_pcsc_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "TwoStreamRCNN"
    cfg.MODEL.BACKBONE.NAME = "build_i3d_fpn_backbone"
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    cfg.MODEL.ROI_HEADS.NAME = "CooperationROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 4
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.I3D.WIDTH = 0.0625
    cfg.MODEL.COOPERATION.NUM_STAGES = 2
    cfg.MODEL.DEVICE = "cpu"
    built = build_model(cfg)
    # Detectron2's default is a box for each class, unlike this project's configs.
    assert built.roi_heads.stage_heads[0].predictor.bbox_pred.out_features == 4 * 4
    sum(built([tiny_input()]).values()).backward()
    (output,) = built.eval()([tiny_input()])
    assert output["instances"].has("pred_classes")
