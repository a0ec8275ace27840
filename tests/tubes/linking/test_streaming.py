"""A stream's tubes are those of offline linking, each as soon as it ends."""

from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, LinkOptions, RefineOptions, Tubes, TubeStream, link, refine
from pcsc_d2.tubes.assembly import concatenate
from pcsc_d2.tubes.linking import streaming

LABELS = ("run", "jump", "wave")


def wandering(seed: int, frames: int, actors: int = 4) -> Detections:
    """Actors that drift, are missed now and then, and leave; boxes between them at random."""
    rng = np.random.default_rng(seed)
    found: dict[tuple[str, int], tuple[np.ndarray, ...]] = {}
    corners = rng.uniform(0, 200, (actors, 2))
    for frame in range(1, frames + 1):
        corners += rng.normal(0, 2, corners.shape)
        gone = rng.random(actors) < 0.02
        corners[gone] = rng.uniform(0, 200, (int(gone.sum()), 2))
        seen = rng.random(actors) < 0.75
        noise = rng.uniform(0, 200, (3, 2))
        boxes = np.concatenate([corners[seen], noise])
        boxes = np.concatenate([boxes, boxes + 40], axis=1).astype(np.float32)
        classes = np.concatenate([np.arange(actors)[seen] % 3, rng.integers(0, 3, 3)])
        scores = rng.uniform(0.02, 1, len(boxes)).astype(np.float32)
        actionness = rng.uniform(0, 1, len(boxes)).astype(np.float32)
        found["video", frame] = (boxes, scores, classes, actionness)
    return Detections.from_frames(["video"], LABELS, [frames], found)


def rows_at(detections: Detections, frame: int) -> tuple[np.ndarray, ...]:
    part = slice(detections.frame_ptr[frame - 1], detections.frame_ptr[frame])
    columns = (detections.boxes, detections.scores, detections.classes, detections.actionness)
    return tuple(column[part] for column in columns)


def streamed(
    detections: Detections, options: LinkOptions, refine_options: RefineOptions | None = None
) -> Tubes:
    stream = TubeStream(LABELS, options, refine_options)
    parts = []
    for frame in range(1, int(detections.nframes[0]) + 1):
        parts.append(stream.update(frame, *rows_at(detections, frame)).ended)
    return concatenate([*parts, stream.finish()])


def described(tubes: Tubes) -> list[tuple]:
    """The tubes in an order that does not depend on when they ended."""
    rows = []
    for i in range(len(tubes)):
        part = slice(tubes.ptr[i], tubes.ptr[i + 1])
        values = [tubes.boxes[part], tubes.box_scores[part], tubes.actionness[part]]
        rows.append(
            (tubes.classes[i], tubes.start[i], tubes.scores[i], *(v.tobytes() for v in values))
        )
    return sorted(rows)


@pytest.mark.parametrize("interpolate", [False, True])
def test_same_tubes_as_offline(interpolate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_ROWS_IN_MEMORY", 7)
    detections, options = wandering(0, 300), LinkOptions(interpolate=interpolate)
    offline = link(detections, options)
    assert len(offline) > 10
    assert int(offline.lengths.max()) > 50
    assert described(streamed(detections, options)) == described(offline)
    cut = RefineOptions(window=5, min_length=3)
    assert described(streamed(detections, options, cut)) == described(refine(offline, cut))


def test_a_tube_comes_when_it_ends() -> None:
    stream = TubeStream(LABELS, LinkOptions(gap=3, min_length=5))
    box, nothing = np.array([[10, 10, 50, 50]], np.float32), np.zeros((0, 4), np.float32)
    for frame in range(1, 7):
        assert not len(stream.update(frame, box, np.ones(1), np.zeros(1, np.int64)).ended)
    ended = [
        len(stream.update(frame, nothing, np.zeros(0), np.zeros(0, np.int64)).ended)
        for frame in range(7, 11)
    ]
    assert ended == [0, 0, 1, 0]
    assert not len(stream.finish())


def test_frames_that_were_not_looked_at_are_interpolated() -> None:
    stream = TubeStream(LABELS, LinkOptions(gap=3, min_length=10, interpolate=True))
    for step in range(5):
        box = np.array([[4 * step, 10, 4 * step + 40, 50]], np.float32)
        stream.update(1 + 4 * step, box, np.full(1, 0.5), np.full(1, 2, np.int64))
    tubes = stream.finish()
    assert (tubes.start.tolist(), tubes.last.tolist(), tubes.classes.tolist()) == ([1], [17], [2])
    np.testing.assert_allclose(tubes.boxes[:, 0], np.arange(17))


def test_memory_does_not_grow_with_a_path() -> None:
    stream = TubeStream(LABELS)
    box, score, cls = np.array([[0, 0, 9, 9]], np.float32), np.ones(1), np.zeros(1, np.int64)
    held = []
    for frame in range(1, 3001):
        stream.update(frame, box, score, cls)
        held.append(sum(len(path.rows) for path in stream._paths.values()))
    assert max(held) <= 512
    assert stream.finish().lengths.tolist() == [3000]


def test_refuses_what_a_stream_cannot_do() -> None:
    with pytest.raises(ValueError, match="labelled in time"):
        TubeStream(LABELS, LinkOptions(temporal_alpha=3))
    stream = TubeStream(LABELS)
    box, score, cls = np.array([[0, 0, 9, 9]], np.float32), np.ones(1), np.zeros(1, np.int64)
    stream.update(1, box, score, cls)
    with pytest.raises(ValueError, match="for all frames or for none"):
        stream.update(2, box, score, cls, np.ones(1))


def test_tubes_are_judged_whole_before_they_are_refined() -> None:
    detections = wandering(seed=3, frames=60)
    options = LinkOptions(gap=3, min_length=5)
    marks = np.arange(len(detections), dtype=np.float16)[:, None] % 8

    def later_half(tubes: Tubes, features: np.ndarray) -> np.ndarray:
        assert features.shape == (len(tubes.boxes), 1)
        # The marks are those of the boxes, the filled ones included.
        for box, mark in zip(tubes.boxes, features[:, 0]):
            rows = np.flatnonzero((detections.boxes == box).all(axis=1))
            assert mark in marks[rows, 0]
        within = np.arange(len(tubes.boxes)) - np.repeat(tubes.ptr[:-1], tubes.lengths)
        return (within >= np.repeat(tubes.lengths // 2, tubes.lengths)).astype(np.float32)

    def stream(refine_options: RefineOptions | None) -> Tubes:
        links = TubeStream(LABELS, options, refine_options, judge=later_half)
        parts = []
        for frame in range(1, 61):
            rows = slice(*detections.frame_ptr[frame - 1 : frame + 1])
            given = (*rows_at(detections, frame)[:3], None, marks[rows])
            parts.append(links.update(frame, *given).ended)
        return concatenate([*parts, links.finish()])

    whole = stream(None)
    linked = link(detections, options)
    assert sorted(whole.lengths) == sorted(linked.lengths)
    assert whole.actionness.mean() == pytest.approx(0.5, abs=0.1)
    halves = stream(RefineOptions(threshold=0.5, window=1, min_length=1))
    assert sorted(halves.lengths) == sorted(whole.lengths - whole.lengths // 2)
    with pytest.raises(ValueError, match="judged by features"):
        TubeStream(LABELS, judge=later_half).update(1, *rows_at(detections, 1))
