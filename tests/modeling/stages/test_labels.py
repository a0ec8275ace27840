"""Labels of the boxes that stages exchange."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from pcsc_d2.modeling.stages.labels import label_proposals, log_proposals

SIZE = (100, 100)
MATCHER = Matcher([0.5], [0, 1], allow_low_quality_matches=False)
BACKGROUND = 4
ACTOR, OTHER = [10.0, 10.0, 30.0, 30.0], [60.0, 60.0, 80.0, 80.0]


def proposals(*boxes: list[float]) -> Instances:
    return Instances(SIZE, proposal_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)))


def targets(*boxes: list[float], classes: tuple[int, ...] = ()) -> Instances:
    return Instances(
        SIZE,
        gt_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
        gt_classes=torch.tensor(classes, dtype=torch.int64),
    )


def test_every_proposal_is_labelled_at_iou_one_half() -> None:
    half, less = [10.0, 10.0, 30.0, 20.0], [10.0, 10.0, 30.0, 19.0]
    found = proposals(ACTOR, half, less, OTHER)
    (labelled,) = label_proposals([found], [targets(ACTOR, classes=(2,))], MATCHER, BACKGROUND)
    assert labelled.gt_classes.tolist() == [2, 2, BACKGROUND, BACKGROUND]
    assert labelled.gt_boxes.tensor.tolist() == [ACTOR] * 4


@pytest.mark.parametrize("found", [(ACTOR, OTHER), ()])
def test_image_without_ground_truth_is_all_background(found: tuple) -> None:
    (labelled,) = label_proposals([proposals(*found)], [targets()], MATCHER, BACKGROUND)
    assert labelled.gt_classes.tolist() == [BACKGROUND] * len(found)
    assert labelled.gt_boxes.tensor.shape == (len(found), 4)


def test_image_without_proposals_has_no_labels() -> None:
    wanted = targets(ACTOR, OTHER, classes=(0, 1))
    (labelled,) = label_proposals([proposals()], [wanted], MATCHER, BACKGROUND)
    assert labelled.gt_classes.tolist() == []


def logged(own: list[Instances], cross: list[Instances] | None, wanted: list[Instances]) -> dict:
    with EventStorage() as storage:
        origins = {"own": own} | ({} if cross is None else {"cross": cross})
        log_proposals("rgb_stage1", origins, wanted)
        return {k.removeprefix("rgb_stage1/"): v[0] for k, v in storage.latest().items()}


def test_log_tells_what_either_stream_brings() -> None:
    own = [proposals(ACTOR, [0.0, 0.0, 5.0, 5.0]), proposals()]
    cross = [proposals(OTHER), proposals(OTHER)]
    wanted = [targets(ACTOR, OTHER, classes=(0, 1)), targets(ACTOR, classes=(0,))]
    assert logged(own, cross, wanted) == {
        "proposals_own": 1.0,
        "proposals_cross": 1.0,
        "recall_own": pytest.approx(1 / 3),
        "recall_cross": pytest.approx(1 / 3),
        "recall_union": pytest.approx(2 / 3),
        "foreground": pytest.approx(2 / 4),
    }


def test_log_without_the_other_stream_and_without_ground_truth() -> None:
    assert logged([proposals(ACTOR)], None, [targets()]) == {
        "proposals_own": 1.0,
        "foreground": 0.0,
    }
