"""The stage loop: which boxes each stage sees, traced by hand through heads that are known."""

from __future__ import annotations

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_roi_heads
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from pcsc_d2.modeling.cooperation_roi_heads import STREAMS, CooperationROIHeads, target_stream
from tests.tiny import tiny_config

SIZE = (400, 400)
STRIDES = {"p2": 4, "p3": 8, "p4": 16, "p5": 32}
SHAPES = {k: ShapeSpec(channels=16, stride=s) for k, s in STRIDES.items()}
BACKGROUND = 4
ELSEWHERE = [380.0, 380.0, 390.0, 390.0]
TRUTH = [300.0, 10.0, 320.0, 30.0]


def pair(head: int, image: int) -> list[list[float]]:
    """A head's two boxes on an image, apart from all other heads'. Their IoU is 0.4, so that a
    stream keeps both of its own (0.5) and takes one from the other stream (0.3)."""
    x, y = 40.0 * head, 100.0 * image
    return [[x, y, x + 20, y + 20], [x, y, x + 20, y + 8]]


class KnownHead(nn.Module):
    """Says its two boxes of every image, whatever it is shown, and remembers what that was.

    It is shown three boxes in most stages: the third is background to it. A fourth is ground
    truth, which is there in training alone; of that it says ELSEWHERE, with certainty.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.shown: list[list[list[float]]] = []
        self.classes: list[list[int]] = []
        self.test_score_thresh, self.test_nms_thresh, self.test_topk_per_image = 0.05, 0.5, 100

    @property
    def predictor(self) -> KnownHead:
        return self

    def forward(self, rois: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rois.new_zeros(len(rois), 5), rois.new_zeros(len(rois), 4)

    def predict_boxes(self, _: tuple, proposals: list[Instances]) -> list[torch.Tensor]:
        self.shown = [p.proposal_boxes.tensor.tolist() for p in proposals]
        said = [(pair(self.number, i) + [ELSEWHERE] * 2)[: len(p)] for i, p in enumerate(proposals)]
        return [torch.tensor(boxes).reshape(-1, 4) for boxes in said]

    def predict_probs(self, _: tuple, proposals: list[Instances]) -> list[torch.Tensor]:
        rows = [[0.9, 0, 0, 0, 0.1], [0.8, 0, 0, 0, 0.2], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
        return [torch.tensor(rows[: len(p)], dtype=torch.float32).reshape(-1, 5) for p in proposals]

    def losses(self, _: tuple, proposals: list[Instances]) -> dict[str, torch.Tensor]:
        self.classes = [p.gt_classes.tolist() for p in proposals]
        return {"loss_cls": torch.zeros(()), "loss_box_reg": torch.zeros(())}


def known_heads(*options: object) -> tuple[CooperationROIHeads, list[KnownHead]]:
    """ROI heads of four stages; the stubs are numbered rgb 0, flow 1, stages 2 to 5."""
    cfg = tiny_config(["MODEL.COOPERATION.NUM_STAGES", 4])
    cfg.MODEL.COOPERATION.SCORE_THRESH = 0.05
    cfg.MODEL.COOPERATION.SCORE_THRESH_TRAIN = 0.05
    cfg.merge_from_list(list(options))
    heads = build_roi_heads(cfg, SHAPES)
    stubs = [KnownHead(number) for number in range(6)]
    heads.stage0_heads = nn.ModuleDict(dict(zip(STREAMS, stubs)))
    heads.stage_heads = nn.ModuleList(stubs[2:])
    return heads, stubs


def run(
    heads: CooperationROIHeads, images: int = 1, targets: list[Instances] | None = None
) -> list:
    features = {
        s: {k: torch.randn(images, 16, SIZE[0] // d, SIZE[1] // d) for k, d in STRIDES.items()}
        for s in STREAMS
    }
    rpn = Instances(
        SIZE,
        proposal_boxes=Boxes(torch.tensor([[0.0, 0.0, 50.0, 50.0], [9.0, 9.0, 99.0, 99.0]])),
        objectness_logits=torch.tensor([1.0, 0.0]),
    )
    proposals = {s: [rpn] * images for s in STREAMS}
    batch = ImageList(torch.zeros(images, 3, *SIZE), [SIZE] * images)
    with EventStorage():
        detections, _ = heads(batch, features, proposals, targets)
    return detections


def ground_truth() -> Instances:
    return Instances(SIZE, gt_boxes=Boxes(torch.tensor([TRUTH])), gt_classes=torch.tensor([3]))


def test_targets_alternate_and_begin_with_rgb() -> None:
    assert [target_stream(t) for t in (1, 2, 3, 4)] == ["rgb", "flow", "rgb", "flow"]


@pytest.mark.parametrize("training", [False, True])
def test_proposals_of_every_stage(training: bool) -> None:
    # Heads by number: B_0^rgb is 0, B_0^flow is 1, B_1 (rgb) is 2, B_2 (flow) is 3, ...
    #   P_1^rgb  = B_0^rgb  u B_0^flow        P_3^rgb  = B_1^rgb  u B_2^flow
    #   P_2^flow = B_0^flow u B_1^rgb         P_4^flow = B_2^flow u B_3^rgb
    expected = {1: (0, 1), 2: (1, 2), 3: (2, 3), 4: (3, 4)}
    heads, stubs = known_heads()
    heads.train(training)
    run(heads, images=2, targets=[ground_truth()] * 2 if training else None)
    for stage, (own, cross) in expected.items():
        for image in (0, 1):
            boxes = pair(own, image) + pair(cross, image)[:1] + [TRUTH] * training
            assert stubs[stage + 1].shown[image] == boxes, f"stage {stage}, image {image}"


def test_every_proposal_of_a_stage_trains_it_and_ground_truth_does() -> None:
    heads, stubs = known_heads()
    run(heads.train(), targets=[ground_truth()])
    for stub in stubs[2:]:
        assert stub.classes == [[BACKGROUND, BACKGROUND, BACKGROUND, 3]]


def test_the_best_boxes_train_a_stage_whatever_their_score() -> None:
    heads, stubs = known_heads("MODEL.COOPERATION.SCORE_THRESH_TRAIN", -1.0)

    def unsure(_: tuple, proposals: list[Instances]) -> list[torch.Tensor]:
        rows = torch.tensor([[0.01, 0.0, 0.0, 0.0, 0.99], [0.0, 0.0, 0.0, 0.0, 1.0]])
        return [rows.repeat(len(p), 1)[: len(p)] for p in proposals]

    heads.active_stages = 1
    for stub in stubs:
        stub.predict_probs = unsure
    run(heads.train(), targets=[ground_truth()])
    assert stubs[2].shown == [[*pair(0, 0), pair(1, 0)[0], TRUTH]]
    run(heads.eval())
    assert stubs[2].shown == [[]]


def test_overlapping_boxes_train_a_stage_where_asked_for() -> None:
    heads, stubs = known_heads("MODEL.COOPERATION.NMS_IN_TRAINING", False)
    heads.active_stages = 1
    run(heads.train(), targets=[ground_truth()])
    assert stubs[2].shown == [[*pair(0, 0), *pair(1, 0), TRUTH]]
    run(heads.eval())
    assert stubs[2].shown == [[*pair(0, 0), pair(1, 0)[0]]]


def test_a_stage_trains_on_a_sample_and_hands_on_all() -> None:
    heads, stubs = known_heads("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 2)
    run(heads.train(), images=2, targets=[ground_truth()] * 2)
    for stub in stubs[2:]:
        assert [sorted(classes) for classes in stub.classes] == [[BACKGROUND] * 2] * 2
        assert [len(boxes) for boxes in stub.shown] == [4, 4]


def test_dropout_in_training() -> None:
    cfg = tiny_config(["MODEL.ROI_BOX_HEAD.DROPOUT", 1.0])
    head = build_roi_heads(cfg, SHAPES).stage0_heads["rgb"]
    rois = torch.rand(3, 16, 7, 7)
    assert not head.eval()(rois)[0].std(dim=0).allclose(torch.zeros(5))
    assert head.train()(rois)[0].std(dim=0).allclose(torch.zeros(5))


def test_level_of_a_box_follows_the_canonical_size() -> None:
    pooled = []
    for size in (224, 56):
        options = ["MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE", size]
        pooler = build_roi_heads(tiny_config(options), SHAPES).box_pooler
        levels = [torch.full((1, 1, 128 // d, 128 // d), d) for d in STRIDES.values()]
        levels = [level.float() for level in levels]
        pooled.append(pooler(levels, [Boxes(torch.tensor([[9.0, 9.0, 65.0, 65.0]]))]))
    assert [float(x.mean()) for x in pooled] == [STRIDES["p2"], STRIDES["p4"]]


@pytest.mark.parametrize("option", ["OWN_STREAM_CONTROL", "PROPOSALS"])
def test_without_exchange_a_stream_sees_its_own_boxes_alone(option: str) -> None:
    heads, stubs = known_heads(f"MODEL.COOPERATION.{option}", option == "OWN_STREAM_CONTROL")
    run(heads.eval())
    for stage, own in {1: 0, 2: 1, 3: 2, 4: 3}.items():
        assert stubs[stage + 1].shown == [pair(own, 0)]


@pytest.mark.parametrize("training", [False, True])
def test_boxes_that_pass_on_are_bounded_in_number(training: bool) -> None:
    top = {"TOPK_TRAIN": 20, "TOPK_TEST": 20} | {"TOPK_TRAIN" if training else "TOPK_TEST": 1}
    options = [x for k, v in top.items() for x in (f"MODEL.COOPERATION.{k}", v)]
    heads, stubs = known_heads(*options)
    heads.train(training)
    run(heads, targets=[ground_truth()] if training else None)
    assert stubs[2].shown == [[pair(0, 0)[0], pair(1, 0)[0]] + [TRUTH] * training]


def test_stages_find_nothing_on_an_image() -> None:
    heads, stubs = known_heads()
    for stub in stubs:
        stub.predict_probs = lambda _, found: [torch.eye(5)[[4] * len(p)] for p in found]
    (detections,) = run(heads.eval(), images=2)
    assert [len(d) for d in detections] == [0, 0]
    assert stubs[5].shown == [[], []]


def test_output_of_each_stage_is_the_union_so_far() -> None:
    heads, _ = known_heads("TEST.EVAL_ALL_STAGES", True)
    stages = run(heads.eval())
    assert len(stages) == 5
    for stage, (detections,) in enumerate(stages):
        # Of either pair the IoU is 0.4, so that NMS at 0.5 keeps both.
        expected = [box for head in range(stage + 2) for box in pair(head, 0)]
        assert sorted(detections.pred_boxes.tensor.tolist()) == sorted(expected)


def test_last_stage_alone_unless_all_are_asked_for() -> None:
    heads, _ = known_heads()
    (last,) = run(heads.eval())
    assert len(last[0]) == 12


def test_unused_stages_do_nothing() -> None:
    heads, stubs = known_heads()
    heads.active_stages = 0
    run(heads.train(), targets=[ground_truth()])
    assert all(stub.shown == [] for stub in stubs[2:])
    (last,) = run(heads.eval())
    assert len(last[0]) == 4


def test_unknown_way_to_put_stages_together() -> None:
    with pytest.raises(ValueError, match=r"MODEL\.COOPERATION\.OUTPUT.*'best'"):
        known_heads("MODEL.COOPERATION.OUTPUT", "best")
