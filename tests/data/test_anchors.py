"""How anchors fit boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.cli import main
from pcsc_d2.data.anchors import FrameBoxes, boxes_of, measure, pooled_levels, suggest
from tests.tiny import CONFIGS, tiny_config

MakeSet = Callable[..., Path]
TRAIN = "synthetic_easy_train"
# Anchors of p4 are centred on pixels 8, 24, 40, ...
ANCHOR, NARROW = [24.0, 24.0, 56.0, 56.0], [30.0, 10.0, 33.0, 60.0]


def config(*options: object) -> object:
    sizes = ["MODEL.ANCHOR_GENERATOR.SIZES", [[8], [16], [32], [64], [128]]]
    ratios = ["MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0]]]
    return tiny_config([*sizes, *ratios, *options])


def frame(*boxes: list[float]) -> FrameBoxes:
    return FrameBoxes((64, 96), torch.tensor(boxes))


def test_recall_and_best_overlap() -> None:
    fit = measure(config(), [frame(ANCHOR), frame(NARROW)])
    assert fit.recall == (0.5, 0.5)
    assert 0.5 < fit.best < 0.7
    assert fit.sizes == [[8], [16], [32], [64], [128]]


def test_positives_are_those_of_the_rpn() -> None:
    # Beside the anchor that fits, its neighbours at 16 pixels overlap by a third.
    for thresholds, positives in (([0.5, 0.5], 1), ([0.3, 0.3], 5)):
        cfg = config("MODEL.RPN.IOU_THRESHOLDS", thresholds)
        assert measure(cfg, [frame(ANCHOR)]).positives == positives
    # Where no anchor overlaps enough the best one is positive all the same.
    assert measure(config(), [frame(NARROW), frame(ANCHOR)]).positives >= 1


def test_suggestion_is_made_of_the_boxes() -> None:
    boxes = [[0.0, 0.0, w, 2.0 * w] for w in (10.0, 20.0, 30.0, 40.0, 50.0)]
    node = suggest(config(), [frame(*boxes)]).MODEL.ANCHOR_GENERATOR
    assert node.SIZES == [[20], [31], [42], [54], [65]]
    assert node.ASPECT_RATIOS == [[2.0]]


def test_suggestion_has_as_many_anchors_as_the_config() -> None:
    boxes = [[0.0, 0.0, w, r * w] for w in (10.0, 20.0, 40.0) for r in (1.0, 2.0)]
    pairs = ["MODEL.ANCHOR_GENERATOR.SIZES", [[8, 12], [16, 24], [32, 48], [64, 96], [128, 192]]]
    ratios = ["MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0, 2.0]]]
    node = suggest(config(*pairs, *ratios), [frame(*boxes)]).MODEL.ANCHOR_GENERATOR
    assert [len(level) for level in node.SIZES] == [2] * 5
    assert sorted(node.SIZES) == node.SIZES
    assert node.ASPECT_RATIOS == [[1.0, 2.0]]


@pytest.mark.parametrize("box", [[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 90.0, 2.0]])
def test_suggestion_of_one_box_has_no_anchor_twice(box: list[float]) -> None:
    cfg = config("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0, 2.0]])
    suggested = suggest(cfg, [frame(box)])
    sizes = [size for level in suggested.MODEL.ANCHOR_GENERATOR.SIZES for size in level]
    assert len(set(sizes)) == 5
    assert len(suggested.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS[0]) == 1
    assert measure(suggested, [frame(box)]).best > 0


@pytest.mark.parametrize(
    ("key", "lists", "lengths"),
    [
        ("SIZES", [[8], [16, 24], [32], [64], [128]], r"\[1, 2, 1, 1, 1\]"),
        ("SIZES", [[8, 16], [32, 64]], r"\[2, 2\]"),
        ("ASPECT_RATIOS", [[1.0], [1.0], [1.0, 2.0], [1.0], [1.0]], r"\[1, 1, 2, 1, 1\]"),
    ],
)
def test_lists_that_no_rpn_can_have(key: str, lists: list, lengths: str) -> None:
    cfg = config(f"MODEL.ANCHOR_GENERATOR.{key}", lists)
    with pytest.raises(ValueError, match=rf"ANCHOR_GENERATOR\.{key} has lists of {lengths}"):
        measure(cfg, [frame(ANCHOR)])


def test_levels_that_boxes_are_pooled_from() -> None:
    boxes = [[0.0, 0.0, side, side] for side in (5.0, 31.0, 40.0, 60.0)]
    cfg = config("MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE", 56)
    shares = pooled_levels(cfg, [frame(*boxes[:1]), frame(*boxes[1:])])
    assert shares == {"p2": 0.25, "p3": 0.5, "p4": 0.25, "p5": 0.0}


def test_frames_at_the_size_of_the_network(make_set: MakeSet) -> None:
    boxes = [[0, 0, 15, 23]] * 2
    tubes = [("train/a", 1, 3, boxes), ("train/a", 0, 4, boxes), ("train/b", 2, 1, boxes[:1])]
    grey = np.full((8, 48, 64, 3), 128, np.uint8)
    make_set({"train/a": grey, "train/b": None}, 8, (48, 64), tubes)
    frames = boxes_of(config("INPUT.MIN_SIZE_TEST", 96), [TRAIN], 10)
    assert [len(f.boxes) for f in frames] == [1, 2, 1, 1]
    assert {f.size for f in frames} == {(96, 128)}
    assert frames[0].boxes.tolist() == [[0, 0, 32, 48]]
    assert len(boxes_of(config(), [TRAIN], 2)) == 2


def test_command(make_set: MakeSet, capsys: pytest.CaptureFixture) -> None:
    make_set({"train/a": None}, 8, (48, 64), [("train/a", 1, 1, [[0, 0, 15, 23]] * 3)])
    line = ["anchors", "--config-file", str(CONFIGS / "synthetic" / "quick.yaml")]
    assert main([*line, "MODEL.RPN.IOU_THRESHOLDS", "[0.4,0.6]"]) == 0
    printed = capsys.readouterr().out
    assert "3 boxes in 3 frames, the first of 96 x 128" in printed
    assert "IOU_THRESHOLDS [0.4, 0.6]" in printed
    assert "suggested: SIZES [[39], [40], [41], [42], [43]] ASPECT_RATIOS [[1.5]]" in printed
    assert (
        "pooled from: p2 100.0 %, p3 0.0 %, p4 0.0 %, p5 0.0 % (POOLER_CANONICAL_SIZE 224)"
        in printed
    )
    assert main([*line, "--datasets", "no_such"]) == 2
