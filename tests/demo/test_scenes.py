"""Scenes drawn for people: truth, tubes and flow in one picture."""

from dataclasses import replace

import numpy as np
import pytest

from pcsc_d2.datasets.synthetic.clips import plan_split, render_clip
from pcsc_d2.datasets.synthetic.truth import ground_truth
from pcsc_d2.demo.scenes import SCALE, Scene, draw_scene, picture
from pcsc_d2.flow.methods import compute_flow

LABELS = ("red-sway", "green-sway", "blue-bounce", "blue-twist")


@pytest.fixture(scope="module")
def drawn() -> tuple[Scene, list, np.ndarray, np.ndarray]:
    """A scene whose truth is found, its views, its frames at scale, and its flow."""
    plan = plan_split("easy", "test", 1, (64, 96), (16, 20))[0]
    small, tubes = render_clip(plan)
    truth = ground_truth(LABELS, {"test/0000": plan}, {"test/0000": tubes}).tubes
    found = replace(truth, box_scores=np.full(len(truth.boxes), 0.5))
    scene = Scene("test/0000", truth, [tube.actor.kind for tube in tubes], found)
    large, fields = render_clip(plan, SCALE)[0], compute_flow(list(small))
    return scene, list(draw_scene(scene, large, fields)), large, fields


def test_every_frame_has_its_picture_and_its_flow(drawn):
    _, views, large, fields = drawn
    assert len(views) == len(large) == len(fields) + 1
    assert {view.image.shape for view in views} == {large.shape[1:]}
    assert {view.flow.shape for view in views} == {large.shape[1:]}
    frame = views[0].video_frame()
    assert frame.shape[1] == 2 * large.shape[2] + 8
    assert frame.shape[0] > large.shape[1]
    assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0


def test_boxes_are_drawn_where_and_while_the_actors_act(drawn):
    scene, views, large, _ = drawn
    changed = [(view.image != frame).any(axis=2) for view, frame in zip(views, large)]
    acting = set(scene.truth.box_frames.tolist())
    assert {number for number, mask in enumerate(changed, start=1) if mask.any()} == acting
    for box, number in zip(scene.truth.boxes, scene.truth.box_frames):
        x1, y1, _, y2 = np.rint(box * SCALE).astype(int)
        middle = slice((y1 + y2) // 2 - 8, (y1 + y2) // 2 + 8)
        assert changed[number - 1][middle, max(x1 - 2, 0) : x1 + 3].any()
        assert not changed[number - 1][middle, x1 + 12 : x1 + 20].all()


def test_the_liveliest_frame_is_one_in_which_most_act(drawn):
    scene, _, _, fields = drawn
    counts = np.bincount(scene.truth.box_frames)
    number = scene.liveliest_frame(fields)
    assert counts[number] == counts.max()
    still = np.zeros_like(fields)
    last = int(np.flatnonzero(counts == counts.max())[-1])
    still[last - 1] = 1
    assert scene.liveliest_frame(still) == last


def test_special_kinds_are_named(drawn):
    scene, _, large, fields = drawn
    number = int(scene.truth.start[0])
    named = replace(scene, kinds=["camouflaged"] * len(scene.kinds))
    plain = replace(scene, kinds=["plain"] * len(scene.kinds))
    images = [list(draw_scene(s, large, fields))[number - 1].image for s in (named, plain)]
    assert (images[0] != images[1]).any()


def test_the_picture_holds_all_views(drawn):
    _, views, _, _ = drawn
    height, width = views[0].image.shape[:2]
    sheet = picture(views[:2])
    assert sheet.shape[1] == 2 * width + 8
    assert sheet.shape[0] > 2 * height
    np.testing.assert_array_equal(sheet[:height, :width], views[0].image)
    np.testing.assert_array_equal(sheet[height + 8 : 2 * height + 8, -width:], views[1].flow)
    assert picture(views[:4]).shape[1] == 1280
