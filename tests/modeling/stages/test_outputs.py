"""Detections of several heads put together, on cases computed by hand."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Instances

from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import combine

SIZE = (100, 100)
A = [0.0, 0.0, 10.0, 10.0]
A_LOW = [0.0, 0.0, 10.0, 8.0]  # IoU 0.8 with A
B = [50.0, 50.0, 60.0, 60.0]
C = [80.0, 20.0, 90.0, 40.0]


def source(stream: str, *rows: tuple[list[float], float, float]) -> StageOutput:
    """A head's output on one image; a row is a box and the scores of two classes."""
    boxes = torch.tensor([box for box, *_ in rows]).reshape(-1, 4)
    probs = torch.tensor([[a, b, 1 - a - b] for _, a, b in rows]).reshape(-1, 3)
    return StageOutput(stream, [boxes], [probs], [SIZE])


def merged(sources: list[StageOutput], mode: str, thresh: float = 0.05, topk: int = 10) -> list:
    (detections,) = combine(sources, mode, thresh, 0.5, topk)
    return rows_of(detections)


def rows_of(detections: Instances) -> list[tuple[list[float], int, float]]:
    return [
        (box, cls, pytest.approx(score))
        for box, cls, score in zip(
            detections.pred_boxes.tensor.tolist(),
            detections.pred_classes.tolist(),
            detections.scores.tolist(),
        )
    ]


def test_union_is_nms_of_each_class_over_all_sources() -> None:
    rgb = source("rgb", (A, 0.9, 0.02), (B, 0.3, 0.4))
    flow = source("flow", (A_LOW, 0.6, 0.35), (C, 0.01, 0.2))
    assert merged([rgb, flow], "union") == [
        (A, 0, 0.9),  # the flow stream's A_LOW is suppressed in class 0 ...
        (B, 1, 0.4),
        (A_LOW, 1, 0.35),  # ... and kept in class 1, where A is under the threshold
        (B, 0, 0.3),
        (C, 1, 0.2),
    ]


def test_union_of_one_image_knows_nothing_of_another() -> None:
    first, second = source("rgb", (A, 0.9, 0.0)), source("rgb", (A_LOW, 0.8, 0.0))
    both = StageOutput(
        "rgb", [*first.boxes, *second.boxes], [*first.probs, *second.probs], [SIZE, (9, 7)]
    )
    one, two = combine([both], "union", 0.05, 0.5, 10)
    assert rows_of(one) == [(A, 0, 0.9)]
    assert rows_of(two) == [([0, 0, 7, 8], 0, 0.8)]  # clipped to its own image
    assert two.image_size == (9, 7)


def test_number_of_detections_is_bounded() -> None:
    sources = [source("rgb", (A, 0.9, 0.02), (B, 0.3, 0.4)), source("flow", (C, 0.7, 0.2))]
    for mode, scores in (("union", [0.9, 0.7]), ("average", [0.45, 0.35])):
        assert [row[2] for row in merged(sources, mode, topk=2)] == scores


def test_last_two_leaves_earlier_heads_out() -> None:
    sources = [
        source("rgb", (A, 0.9, 0.0)),
        source("flow", (B, 0.8, 0.0)),
        source("rgb", (A_LOW, 0.7, 0.0)),
    ]
    assert merged(sources, "last_two") == [(B, 0, 0.8), (A_LOW, 0, 0.7)]
    assert merged(sources[:2], "last_two") == merged(sources[:2], "union")


def test_average_is_over_sources_that_agree() -> None:
    sources = [
        source("rgb", (A, 0.9, 0.0), (A_LOW, 0.8, 0.0)),
        source("flow", (A_LOW, 0.3, 0.0), (B, 0.0, 0.6)),
        source("rgb", (C, 0.0, 0.5), (A, 0.0, 0.3)),
    ]
    assert merged(sources, "average") == [
        (A, 0, (0.9 + 0.3 + 0) / 3),  # a source's best counts, not each of its boxes
        (B, 1, 0.6 / 3),
        (C, 1, 0.5 / 3),
        (A, 1, 0.3 / 3),  # another class does not speak for class 0
    ]


def test_average_of_class_specific_boxes() -> None:
    specific = StageOutput(
        "rgb", [torch.tensor([[*A, *B]])], [torch.tensor([[0.6, 0.3, 0.1]])], [SIZE]
    )
    assert merged([specific], "average") == [(A, 0, 0.6), (B, 1, 0.3)]
    assert merged([specific], "union") == [(A, 0, 0.6), (B, 1, 0.3)]


@pytest.mark.parametrize("mode", ["union", "average", "last_two"])
def test_nothing_found_is_no_detection(mode: str) -> None:
    assert merged([source("rgb"), source("flow", (A, 0.01, 0.01))], mode) == []


@pytest.mark.parametrize("mode", ["union", "average"])
def test_boxes_that_are_not_finite_are_left_out(mode: str) -> None:
    broken = [float("nan"), 0.0, 5.0, 5.0]
    assert merged([source("rgb", (broken, 0.9, 0.0), (B, 0.4, 0.0))], mode) == [(B, 0, 0.4)]
