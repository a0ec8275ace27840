"""Recall by origin and recovered actors, on boxes placed by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from pcsc_d2.experiments.proposal_recall import FrameTruth, ProposalRecall, truth_by_frame
from pcsc_d2.experiments.recovered_actors import RecoveredActors
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.tubes import GroundTruth, Tubes

SIZE = (100, 200)  # of the model's image; frames are half as large
A, B = [20.0, 20.0, 60.0, 60.0], [120.0, 20.0, 160.0, 60.0]
WANTED = FrameTruth(np.array([0, 1]), np.array([1, 0]), torch.tensor([A, B]) / 2)


def proposals(*boxes: list[float]) -> list[Instances]:
    tensor = torch.tensor(boxes).reshape(-1, 4)
    return [Instances(SIZE, proposal_boxes=Boxes(tensor), objectness_logits=tensor[:, 0])]


def output(stream: str, origins: dict[str, list[Instances]]) -> StageOutput:
    """A head that finds class 1 at A and nothing else."""
    boxes, probs = torch.tensor([A]), torch.tensor([[0.1, 0.7, 0.2]])
    return StageOutput(stream, [boxes], [probs], [SIZE], origins)


@pytest.fixture
def sources() -> list[StageOutput]:
    """The RGB stream has lost A, the flow stream B, and the flow stream hands A over."""
    return [
        output("rgb", {"rpn": proposals(B)}),
        output("flow", {"rpn": proposals(A)}),
        output("rgb", {"own": proposals(B), "cross": proposals(A)}),
        output("flow", {"own": proposals(A), "cross": proposals()}),
    ]


def test_recall_of_each_origin_and_of_the_union(sources: list[StageOutput]) -> None:
    recall = ProposalRecall()
    recall.add(WANTED, sources, 0, (50, 100))
    found = recall.by_kind(np.array(["plain", "still"]))
    assert found["0/rpn/rgb"] == {"all": 50.0, "plain": 0.0, "still": 100.0}
    assert found["0/rpn/flow"] == {"all": 50.0, "plain": 100.0, "still": 0.0}
    assert found["0/rpn/union"]["all"] == 100.0
    assert found["1/rgb/own"]["all"] == 50.0
    assert found["1/rgb/union"]["all"] == 100.0
    assert found["2/flow/cross"]["all"] == 0.0
    assert found["2/flow/union"] == {"all": 50.0, "plain": 100.0, "still": 0.0}
    assert ProposalRecall().by_kind(None) == {}


def test_recovered_actor_is_drawn(sources: list[StageOutput], tmp_path: object) -> None:
    recovered_actors = RecoveredActors()
    example = {
        "video_id": "v",
        "frame_index": 7,
        "height": 50,
        "width": 100,
        "rgb": torch.zeros(3, 4, *SIZE, dtype=torch.uint8),
        "flow": torch.zeros(2, 4, *SIZE),
    }
    found = Instances(
        SIZE,
        pred_boxes=Boxes(torch.tensor([A])),
        scores=torch.tensor([0.7]),
        pred_classes=torch.tensor([1]),
    )
    recovered_actors.add(example, WANTED, sources, found, 0)
    (path,) = recovered_actors.draw(tmp_path / "recovered_actors", ["sit", "run"])
    assert path.name == "rgb_0.png"
    assert cv2.imread(str(path)).any()
    # Taken for background, it is not brought back.
    sources[2].probs[0][0] = torch.tensor([0.2, 0.2, 0.6])
    none = RecoveredActors()
    none.add(example, WANTED, sources, found, 0)
    assert none.draw(tmp_path / "none", ["sit", "run"]) == []


def test_truth_of_a_frame() -> None:
    boxes = np.array([[0, 0, 9, 9], [1, 0, 10, 9], [5, 5, 7, 7]])
    tubes = Tubes(
        np.array(["a", "b"]),
        np.array(["sit", "run"]),
        video=[0, 1],
        classes=[1, 0],
        scores=[1.0, 1.0],
        start=[3, 4],
        ptr=[0, 2, 3],
        boxes=boxes,
        box_scores=[1.0, 1.0, 1.0],
    )
    truth = GroundTruth(("sit", "run"), ["a", "b"], [9, 9], [[10, 10]] * 2, tubes, [[]], [[]])
    found = truth_by_frame(truth)
    assert set(found) == {("a", 3), ("a", 4), ("b", 4)}
    assert found["a", 4].boxes.tolist() == [[1, 0, 11, 10]]
    assert found["a", 4].tubes.tolist() == [0]
    assert found["a", 4].classes.tolist() == [1]
