"""PCSC against other variants, video by video, on detections made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pcsc_d2.experiments.stages.differences import OUTPUTS, difference_parts
from pcsc_d2.tubes import Detections, GroundTruth

BOX = (0, 0, 99, 99)
NAMES = list("abcd")


@pytest.fixture
def truth(make_truth: Callable[..., GroundTruth]) -> GroundTruth:
    return make_truth([(v, v % 2, 1, [BOX] * 10) for v in range(4)], videos=NAMES)


@pytest.fixture
def write(tmp_path: Path, make_detections: Callable[..., Detections]) -> Callable[..., Path]:
    def write(name: str, right: int, **others: int) -> Path:
        """A run that finds the actors of the first videos, by each output."""
        folder = tmp_path / name
        folder.mkdir()
        for output in OUTPUTS:
            of = range(others.get(output, right))
            rows = [(v, f, v % 2, 0.5, BOX) for v in of for f in range(1, 11)]
            make_detections(rows, videos=NAMES).save(folder / f"{output}.npz")
        return folder

    return write


def test_what_the_reference_has_over_the_others(
    truth: GroundTruth, write: Callable[..., Path]
) -> None:
    # One video of each class, of two, is half of each class's actors.
    folders = {"baseline": [write("baseline", 2)], "pcsc": [write("pcsc", 4, rgb_alone=2)]}
    _, at_half, _, at_three_quarters = difference_parts(folders, truth)
    rows = {line.split("|")[1].strip(): line for line in at_half.splitlines()}
    assert rows["union"].count("+50.00 [") == 2
    assert rows["rgb_alone"].count("+0.00 [") == 2
    assert at_half == at_three_quarters


def test_differences_are_means_over_seeds(truth: GroundTruth, write: Callable[..., Path]) -> None:
    folders = {
        "control": [write("control-1", 2), write("control-2", 2)],
        "pcsc": [write("pcsc-1", 4), write("pcsc-2", 2)],
    }
    assert "+25.00 [" in difference_parts(folders, truth)[1]


def test_nothing_to_compare(truth: GroundTruth, write: Callable[..., Path]) -> None:
    assert difference_parts({"pcsc": [write("pcsc", 2)]}, truth) == []
    assert difference_parts({"baseline": [], "control": []}, truth) == []
