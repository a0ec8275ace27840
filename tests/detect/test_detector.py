"""Frames in, tubes out: where, when, once each, and without falling behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.detect import ActionDetector, DetectOptions, detector
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.tubes import RefineOptions, Tubes
from pcsc_d2.video import VideoError
from tests.square_model import SquareModel, encode, square_at, square_frames


def boxes_of(tubes: Tubes) -> np.ndarray:
    assert len(tubes) == 1
    return tubes.boxes


def expected(first: int, last: int) -> np.ndarray:
    return np.array([square_at(frame) for frame in range(first, last + 1)], np.float32)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_frames_in_memory(model: SquareModel, batch: int) -> None:
    tubes = ActionDetector(model, DetectOptions(batch=batch))(square_frames(30))
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1], [30])
    np.testing.assert_allclose(boxes_of(tubes), expected(1, 30), atol=0.01)
    assert model.clips == 30


def test_a_file(model: SquareModel, square_video: Path) -> None:
    tubes = ActionDetector(model)(square_video)
    np.testing.assert_allclose(boxes_of(tubes), expected(1, 30), atol=1.01)


def test_boxes_are_those_of_the_original_frame(model: SquareModel) -> None:
    large = [frame.repeat(3, axis=0).repeat(3, axis=1) for frame in square_frames(16)]
    boxes = boxes_of(ActionDetector(model)(large))
    last = np.array([0, 0, 1, 1])
    wanted = (expected(1, 16) + last) * 3 - last
    np.testing.assert_allclose(boxes, wanted, atol=3)


def test_every_nth_frame_is_looked_at_and_those_between_are_interpolated(
    model: SquareModel,
) -> None:
    tubes = ActionDetector(model, DetectOptions(every=4))(square_frames(30))
    assert model.clips == 9  # frames 1, 5, ..., 29, and the last
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1], [30])
    np.testing.assert_allclose(boxes_of(tubes), expected(1, 30), atol=0.01)


def test_key_frames_far_apart(model: SquareModel) -> None:
    found = list(ActionDetector(model, DetectOptions(every=20)).stream(square_frames(30)))
    assert [moment.frame for moment in found[:-1]] == [1, 21, 30]
    np.testing.assert_allclose(found[1].boxes[0], square_at(21), atol=0.01)


def test_a_stream_is_not_waited_for(model: SquareModel) -> None:
    handed_out = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal handed_out
        for frame in square_frames(60) * 20:
            handed_out += 1
            yield frame

    options = DetectOptions(batch=1)
    stream = ActionDetector(model, options).stream(camera())
    first = next(stream)
    # Frames wait between the parts: 8 decoded, 8 resized, the clips of 2 windows, the clip itself.
    assert handed_out < 40
    assert (first.frame, first.labels) == (1, ["square"])
    paths = {first.paths[0], *(next(stream).paths[0] for _ in range(20))}
    assert len(paths) == 1
    stream.close()
    assert handed_out < 80


def test_tubes_come_when_they_end(model: SquareModel) -> None:
    frames = square_frames(12) + [np.full((64, 96, 3), 40, np.uint8)] * 10
    moments = list(ActionDetector(model).stream(frames))
    ended = [moment.frame for moment in moments if len(moment.ended)]
    assert ended == [15]  # gap is 3
    assert moments[-1].frame == 22


def test_actionness_refines_as_the_model_says(model: SquareModel) -> None:
    model.actionness = True
    whole = ActionDetector(model)(square_frames(30))
    model.info = replace(model.info, refine=RefineOptions(threshold=0.5, window=9))
    tubes = ActionDetector(model)(square_frames(30))
    # On the left third until x1 reaches 32: frame 15.
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1], [14])
    unrefined = ActionDetector(model, DetectOptions(refine=False))(square_frames(30))
    for other in (whole, unrefined):
        assert other.last.tolist() > [14]


def test_only_some_classes(model: SquareModel) -> None:
    assert not len(ActionDetector(model, DetectOptions(classes=("circle",)))(square_frames(20)))
    with pytest.raises(ValueError, match="does not know 'sphere'; it knows square, circle"):
        ActionDetector(model, DetectOptions(classes=("sphere",)))


def test_low_scores_are_left_out(model: SquareModel) -> None:
    assert not len(ActionDetector(model, DetectOptions(min_score=0.95))(square_frames(20)))


def test_one_frame(model: SquareModel) -> None:
    moments = list(ActionDetector(model).stream(square_frames(1)))
    assert [len(moment.boxes) for moment in moments] == [1, 0]


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ([np.zeros((64, 96), np.uint8)], ValueError, "expected .H, W, 3. uint8"),
        ([np.zeros((64, 96, 3), np.float32)], ValueError, "float32; expected"),
        ([np.zeros((64, 96, 3), np.uint8), np.zeros((64, 90, 3), np.uint8)], VideoError, "size"),
        ([np.zeros((8, 9, 3), np.uint8)] * 3, FlowError, "too small"),
    ],
)
def test_frames_that_cannot_be_used(
    model: SquareModel, frames: list, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ActionDetector(model)(frames)


def test_flow_that_cannot_be_computed(model: SquareModel) -> None:
    with pytest.raises(ValueError, match="flow 'other' cannot be computed; choose another"):
        ActionDetector(model, DetectOptions(flow="other"))


def test_each_frame_is_handled_once(
    model: SquareModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "v.mp4", square_frames(25))
    found = ActionDetector(model)
    found(path)
    parts = found.profile.parts
    assert {name: parts[name].items for name in ("decode", "flow", "network")} == {
        "decode": 25,
        "flow": 24,
        "network": 25,
    }


def test_a_window_is_handed_over_whole() -> None:
    widths = []

    class Dense(SquareModel):
        def detect_window(self, rgb, flow, key_frames, size):
            widths.append((rgb.shape[1], len(key_frames)))
            half = self.info.clip_length // 2
            clips = [
                (rgb[:, k - half : k + half], flow[:, k - half : k + half]) for k in key_frames
            ]
            return self(clips, size)

    tubes = ActionDetector(Dense(), DetectOptions(batch=6))(square_frames(20))
    assert widths == [(9, 6), (9, 6), (9, 6), (5, 2)]
    np.testing.assert_allclose(boxes_of(tubes), expected(1, 20), atol=0.01)


def test_an_error_of_the_model_is_raised_and_threads_end(model: SquareModel) -> None:
    before = threading.active_count()

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    found = ActionDetector(model)
    found._detect = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        found(square_frames(40))
    assert threading.active_count() == before
    assert detector._FRAMES_AHEAD < 40
