"""The demo's page links all that was made, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.demo.curve import _ticks, loss_chart
from pcsc_d2.demo.page import Scores, write_index
from pcsc_d2.demo.scenes import Scene
from pcsc_d2.demo.training import METRICS, TRAINING, read_losses
from pcsc_d2.tubes import Tubes
from tests.html_page import Page

ENTRY = {
    "total_loss": 2.5,
    "loss_rpn_cls_rgb": 0.5,
    "loss_rpn_loc_flow": 0.25,
    "loss_cls_stage0_rgb": 1.0,
    "loss_box_reg_stage0_flow": 0.75,
    "lr": 0.1,
}


def tubes(count: int) -> Tubes:
    ptr = np.arange(count + 1)
    boxes, scores, zeros = np.tile([1, 2, 3, 4], (count, 1)), np.ones(count), 0 * ptr[1:]
    return Tubes(["test/0001"], ["a"], zeros, zeros, scores, zeros + 1, ptr, boxes, scores)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A demo's folder after training."""
    entries = [ENTRY | {"iteration": 19}, {"iteration": 30, "AP50": 1.0}]
    entries.append(ENTRY | {"iteration": 39, "total_loss": 1.5, "loss_cls_stage0_rgb": 0.5})
    lines = [*map(json.dumps, entries), '{"iteration": 59, "total_lo']
    for name in (TRAINING, "results"):
        (tmp_path / name).mkdir()
    (tmp_path / TRAINING / METRICS).write_text("\n".join(lines))
    return tmp_path


def scenes() -> list[Scene]:
    return [Scene("test/0001", tubes(2), ["still", "plain"], tubes(1))]


def test_the_page_after_training(out: Path):
    scores = Scores(61.25, 26.0, {0.2: 70.0, 0.5: 50.0}, out / "results" / "page.html")
    path = write_index(out, scenes(), scores, "own")
    page = Page(path.read_text())
    assert not page.open
    assert {"videos/0001.mp4", "own/index.html", "results/page.html", "picture.png"} < set(
        page.addresses
    )
    assert not [address for address in page.addresses if "//" in address or address[:1] == "/"]
    for figure in ("61.2", "26.0", "70.0", "50.0", "40 iterations"):
        assert figure in page.text
    assert "Test clip 0001: 2 actors (1 still); 1 tube found" in page.text
    assert page.count["polyline"] == 3


def test_the_page_without_training(out: Path):
    page = Page(write_index(out, scenes(), None, "own").read_text())
    assert {"videos/0001.mp4", "own/index.html"} < set(page.addresses)
    assert "Detectron2 is not installed" in page.text
    assert "iterations" not in page.text
    assert not page.count["polyline"]
    assert not [address for address in page.addresses if address.startswith(TRAINING)]


@pytest.mark.parametrize("most", [0.1, 0.7, 1.33, 2.0, 250, 370, 999])
def test_ticks_are_few_and_within_the_axis(most: float):
    ticks = _ticks(most)
    assert 3 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert most * 0.6 < ticks[-1] <= most


def test_losses_are_those_of_whole_lines(out: Path):
    losses = read_losses(out / TRAINING)
    assert [entry["iteration"] for entry in losses] == [19, 39]
    assert "lr" not in losses[0]
    assert read_losses(out / "nothing") == []


def test_the_curve_adds_up_both_streams(out: Path):
    chart = loss_chart(read_losses(out / TRAINING))
    for name, points in (("proposals", 2), ("classes", 2), ("boxes", 2)):
        line = chart.split(f'class="{name}" points="')[1].split('"')[0].split()
        assert len(line) == points
        heights = [float(point.split(",")[1]) for point in line]
        assert (heights[0] < heights[1]) == (name == "classes")  # what falls goes down
    heights = [
        float(p.split(",")[1]) for p in chart.split('"classes" points="')[1].split('"')[0].split()
    ]
    assert heights[0] < heights[1]  # the loss falls: further down
