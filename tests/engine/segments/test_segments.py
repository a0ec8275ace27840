"""pcsc train-segments: cutting tubes by hand, and the command from a detector to results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from detectron2.engine import default_argument_parser

from pcsc_d2.engine.segments.fit import choose_threshold, cut
from pcsc_d2.engine.segments.train import main
from pcsc_d2.tubes import GroundTruth, Tubes
from tests.engine.scores.test_train import CONFIG, detector
from tests.engine.test_train_net import SMALL

BOX = (0, 0, 99, 99)


def segments(*rows: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array(rows, np.float32).reshape(-1, 3)
    return values[:, :2], values[:, 2]


def test_tubes_are_cut_to_their_segments(make_tubes: Callable[..., Tubes]) -> None:
    wide = [(i, 0, i + 9, 9) for i in range(10)]
    tubes = make_tubes([(0, 0, 0.9, 5, wide), (1, 2, 0.8, 1, [BOX] * 10), (1, 1, 0.7, 1, [BOX])])
    found = [
        segments((0.4, 3.6, 0.9), (6.0, 10.0, 0.6), (2.0, 9.0, 0.3)),
        segments((0.0, 10.0, 0.4)),
        segments((0.0, 1.0, 0.9)),
    ]
    parts = cut(tubes, found, threshold=0.5, min_length=2)
    # Frames 5 to 8 and 11 to 14 of the first; the second is under the threshold, the last short.
    assert parts.start.tolist() == [5, 11]
    assert parts.last.tolist() == [8, 14]
    assert parts.classes.tolist() == [0, 0]
    assert parts.scores.tolist() == tubes.scores[[0, 0]].tolist()
    assert parts.boxes[:, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert len(cut(tubes, found, threshold=0.95, min_length=1)) == 0


def test_threshold_is_chosen_and_may_be_none(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 5, [BOX] * 10), (1, 0, 1, [BOX] * 10)])
    tubes = make_tubes([(0, 0, 0.9, 1, [BOX] * 20), (1, 0, 0.8, 1, [BOX] * 20)])
    right = [segments((4, 14, 0.55)), segments((0, 10, 0.55))]
    threshold, scores = choose_threshold(tubes, right, truth, 1)
    assert threshold == 0.1  # the lowest of equal ones
    assert scores["0.5"] == 100 > scores["none"]
    assert scores["0.6"] == 0
    wrong = [segments((15, 20, 0.9)), segments((15, 20, 0.9))]
    assert choose_threshold(tubes, wrong, truth, 1)[0] == 0


def test_command(tmp_path: Path) -> None:
    weights = detector(tmp_path, stages=1)
    small = SMALL | {"TEST.EVAL_ALL_STAGES": False, "MODEL.COOPERATION.NUM_STAGES": 1}
    small |= {"SOLVER.SEGMENTS.EPOCHS": 1, "TEST.TUBES.MIN_LENGTH": 3, "TEST.TUBES.ON": True}
    # So that tubes of random weights follow something.
    small |= {"MODEL.ACTIONNESS.LABEL_IOU": 0.01}
    pairs = [str(x) for pair in small.items() for x in pair]
    line = ["--config-file", CONFIG, "MODEL.WEIGHTS", str(weights), "OUTPUT_DIR"]
    results = main(default_argument_parser().parse_args([*line, str(tmp_path / "out"), *pairs]))
    (name,) = results
    told = json.loads((tmp_path / "out" / "segments.json").read_text())
    state = torch.load(tmp_path / "out" / "segments.pth", weights_only=True)["model"]
    assert state["threshold"].item() == np.float32(told["threshold"])
    written = json.loads((tmp_path / "out" / "inference" / name / "results.json").read_text())
    assert {"video", "temporal", "boundaries"} <= set(written)
    assert Tubes.load(tmp_path / "out" / "inference" / name / "tubes.npz").videos.tolist()
