from __future__ import annotations

import pytest
import torch

from pcsc_d2.modeling.proposal_cooperation import (
    BoxSelection,
    StageOutput,
    best_foreground,
    cooperate,
    select_boxes,
)

SIZE = (100, 100)


def output(boxes: list[list[float]], scores: list[float], stream: str = "rgb") -> StageOutput:
    """One image, two classes: the score is class 1's, the rest background's."""
    probs = torch.tensor([[0.0, s, 1 - s] for s in scores])
    return StageOutput(stream, [torch.tensor(boxes)], [probs], [SIZE])


def test_best_foreground_of_class_specific_boxes() -> None:
    boxes = torch.arange(16.0).view(2, 8)
    probs = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.1, 0.5]])
    chosen, scores = best_foreground(boxes, probs)
    assert chosen.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert scores.tolist() == pytest.approx([0.5, 0.4])


def test_selection_by_score_nms_and_number() -> None:
    boxes = [
        [0.0, 0.0, 10.0, 10.0],
        [0.0, 0.0, 10.0, 8.0],  # IoU 0.8 with the first
        [50.0, 50.0, 60.0, 60.0],
        [80.0, 80.0, 90.0, 90.0],
        [20.0, 20.0, 30.0, 30.0],  # under the score
    ]
    head = output(boxes, [0.6, 0.9, 0.8, 0.3, 0.04])

    def kept(nms: float, topk: int) -> list[list[float]]:
        (chosen,) = select_boxes(head, BoxSelection(0.05, nms, topk))
        return chosen.proposal_boxes.tensor.tolist()

    assert kept(0.7, 10) == [boxes[1], boxes[2], boxes[3]]
    assert kept(0.85, 10) == [boxes[1], boxes[2], boxes[0], boxes[3]]
    assert kept(0.7, 2) == [boxes[1], boxes[2]]


def test_boxes_are_clipped_and_empty_ones_dropped() -> None:
    head = output([[-5.0, 90.0, 10.0, 120.0], [150.0, 0.0, 160.0, 10.0]], [0.9, 0.9])
    (chosen,) = select_boxes(head, BoxSelection(0.05, 0.5, 10))
    assert chosen.proposal_boxes.tensor.tolist() == [[0, 90, 10, 100]]


def test_objectness_is_the_score_as_a_logit() -> None:
    (chosen,) = select_boxes(output([[0.0, 0.0, 9.0, 9.0]], [0.8]), BoxSelection(0.05, 0.5, 10))
    assert chosen.objectness_logits.sigmoid().tolist() == pytest.approx([0.8])


def test_union_keeps_every_box_of_both() -> None:
    rule = BoxSelection(0.05, 0.5, 10)
    own = select_boxes(output([[0.0, 0.0, 10.0, 10.0]], [0.6]), rule)
    cross = select_boxes(
        output([[0.0, 0.0, 10.0, 9.0], [40.0, 40.0, 50.0, 50.0]], [0.9, 0.7]), rule
    )
    (union,) = cooperate({"own": own, "cross": cross})
    assert union.proposal_boxes.tensor.tolist() == [
        [0, 0, 10, 10],
        [0, 0, 10, 9],
        [40, 40, 50, 50],
    ]
    assert cooperate({"own": own})[0] is own[0]
