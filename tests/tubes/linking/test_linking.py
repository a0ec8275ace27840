"""Linking: each rule by hand, parity with a plain implementation of the protocol, properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, LinkOptions, OnlineLinker, Tubes, link
from pcsc_d2.tubes.linking.labelling import class_scores, viterbi
from pcsc_d2.tubes.linking.offline import link_side_by_side
from pcsc_d2.tubes.linking.online import filter_detections

BOX = (10.0, 10.0, 49.0, 89.0)
SHORT = LinkOptions(min_length=1, gap=1)


def assert_same(first: Tubes, second: Tubes) -> None:
    for field in fields(Tubes):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert (a is None and b is None) or np.array_equal(a, b), field.name


def moved(box: tuple[float, ...], x: float) -> tuple[float, ...]:
    return (box[0] + x, box[1], box[2] + x, box[3])


def at(make: Callable[..., Detections], frames: dict[int, float], **kwargs: object) -> Detections:
    """One box at some frames of one video: frame -> score."""
    return make([(0, frame, 0, score, BOX) for frame, score in frames.items()], ("a",), **kwargs)


@pytest.mark.parametrize("gap", [1, 3, 5])
def test_gap_at_the_limit(make_detections: Callable[..., Detections], gap: int) -> None:
    """A path outlives gap - 1 missing frames, and ends at the gap-th."""
    before, after = range(1, 13), range(12 + gap, 24 + gap)
    tubes = link(at(make_detections, dict.fromkeys([*before, *after], 0.5)), LinkOptions(gap=gap))
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1], [23 + gap])
    after = range(13 + gap, 25 + gap)
    tubes = link(at(make_detections, dict.fromkeys([*before, *after], 0.5)), LinkOptions(gap=gap))
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1, 13 + gap], [12, 24 + gap])


def test_gaps_are_filled_with_the_next_box(make_detections: Callable[..., Detections]) -> None:
    rows = [(0, 1, 0, 0.2, BOX), (0, 4, 0, 0.8, moved(BOX, 6)), (0, 5, 0, 0.5, BOX)]
    options = {"min_length": 1, "gap": 3, "min_score": 0.0}
    assert (
        len(link(make_detections(rows), LinkOptions(**options))) == 0
    )  # 3 boxes, no more than gap
    rows.append((0, 6, 0, 0.5, BOX))
    tubes = link(make_detections(rows), LinkOptions(**options))
    assert tubes.boxes[:, 0].tolist() == [10, 16, 16, 16, 10, 10]
    np.testing.assert_allclose(tubes.box_scores, [0.2, 0.8, 0.8, 0.8, 0.5, 0.5])
    tubes = link(make_detections(rows), LinkOptions(**options, interpolate=True))
    assert tubes.boxes[:, 0].tolist() == [10, 12, 14, 16, 10, 10]
    np.testing.assert_allclose(tubes.box_scores, [0.2, 0.4, 0.6, 0.8, 0.5, 0.5], rtol=1e-6)


def test_tubes_span_at_least_ten_frames(make_detections: Callable[..., Detections]) -> None:
    assert len(link(at(make_detections, dict.fromkeys(range(4, 13), 0.5)))) == 0
    tubes = link(at(make_detections, dict.fromkeys(range(4, 14), 0.5)))
    assert (tubes.start.tolist(), tubes.lengths.tolist()) == ([4], [10])


def test_score_is_the_mean_of_the_forty_best(make_detections: Callable[..., Detections]) -> None:
    scores = {frame: 0.9 if frame <= 30 else 0.3 for frame in range(1, 61)}
    tubes = link(at(make_detections, scores, nframes=60))
    assert tubes.scores[0] == pytest.approx((30 * 0.9 + 10 * 0.3) / 40)


def test_a_path_takes_the_best_score_not_the_best_overlap(
    make_detections: Callable[..., Detections],
) -> None:
    rows = [(0, 1, 0, 0.5, BOX), (0, 2, 0, 0.4, BOX), (0, 2, 0, 0.6, moved(BOX, 30))]
    linker = OnlineLinker(1)
    first = linker.update(np.array([BOX]), [0.5], [0])
    second = linker.update(np.array([BOX, moved(BOX, 30)]), [0.4, 0.6], [0, 0])
    assert first.path.tolist() == [0]
    assert second.index.tolist() == [1, 0]
    assert second.path.tolist() == [0, 1]
    assert len(link(make_detections(rows, ("a",)), SHORT)) == 1  # the other has one box


def test_link_threshold_is_inclusive_and_counts_corners() -> None:
    wide = np.array([(0.0, 0.0, 54.0, 9.0)])  # 55 x 10
    for x, path in ((45.0, [0]), (46.0, [1])):  # 10 of 100 columns shared, then 9 of 101
        linker = OnlineLinker(1)
        linker.update(wide, [0.9], [0])
        shifted = wide + np.array([x, 0, x, 0])
        assert linker.update(shifted, [0.9], [0]).path.tolist() == path


def test_paths_choose_in_order_of_their_best_scores() -> None:
    """The mean of the gap + 1 best decides, not the last score; new paths choose last."""
    options = LinkOptions(gap=1, nms_iou=1.0)
    left, right = np.array(BOX), np.array(moved(BOX, 20))
    linker = OnlineLinker(1, options)
    linker.update(np.stack([left, right]), [0.9, 0.8], [0, 0])  # paths 0 and 1
    far = np.array(moved(BOX, 300))
    linker.update(np.stack([right, left, far]), [0.85, 0.2, 0.95], [0, 0, 0])
    # Path 0 took 0.85, path 1 took 0.2, path 2 began at 0.95: means 0.875, 0.5, 0.95.
    frame = linker.update(np.stack([left, right]), [0.3, 0.1], [0, 0])
    assert frame.path.tolist() == [0, 1]
    np.testing.assert_allclose(frame.path_score, [0.875, 0.5])


def test_groups_do_not_mix() -> None:
    linker = OnlineLinker(3)
    boxes = np.array([BOX, BOX, BOX])
    assert linker.update(boxes, [0.5, 0.6, 0.7], [2, 0, 1]).path.tolist() == [0, 1, 2]
    frame = linker.update(boxes, [0.5, 0.6, 0.7], [1, 2, 0])
    assert frame.index.tolist() == [2, 0, 1]
    assert frame.path.tolist() == [0, 1, 2]


SQUARE = np.array([0.0, 0.0, 10.0, 10.0])


def kept(boxes: np.ndarray, scores: list[float], **options: float) -> list[int]:
    """What the filter keeps of the boxes of one class."""
    groups = np.zeros(len(scores), int)
    return filter_detections(boxes, np.array(scores), groups, LinkOptions(**options)).tolist()


def test_filter_by_score_and_rank() -> None:
    apart = SQUARE + np.arange(5)[:, None] * np.array([20, 0, 20, 0])
    assert kept(apart, [0.3, 0.001, 0.5, 0.0011, 0.4]) == [2, 4, 0, 3]
    assert kept(apart, [0.3, 0.2, 0.5, 0.1, 0.4], top=2) == [2, 4]
    # The best three go into suppression, where one of them falls.
    apart[4] = apart[2] + 1
    assert kept(apart, [0.3, 0.2, 0.5, 0.1, 0.4], nms_top=3) == [2, 0]


def test_filter_suppresses_over_its_threshold_without_the_one() -> None:
    half = np.stack([SQUARE, SQUARE * [1, 1, 1, 0.5]])
    assert kept(half, [0.5, 0.4], nms_iou=0.5) == [0, 1]
    assert kept(half, [0.5, 0.4], nms_iou=0.49) == [0]
    # Side 4, shifted by 1.6: IoU 2.4 / 5.6 = 0.43; with the 1 it would be 3.4 / 6.6 = 0.52.
    shifted = np.array([[0, 0, 4, 4], [1.6, 0, 5.6, 4]])
    assert kept(shifted, [0.5, 0.4]) == [0, 1]
    # A box that is itself suppressed suppresses none.
    chain = SQUARE + np.array([0, 3, 6])[:, None] * np.array([1, 0, 1, 0])
    assert kept(chain, [0.5, 0.4, 0.3]) == [0, 2]


def plain_link(detections: Detections, options: LinkOptions) -> list[tuple]:
    """The protocol, read off the page: one class and one box at a time."""
    result = []
    for video in range(len(detections.videos)):
        for cls in range(len(detections.labels)):
            result += plain_link_class(detections, video, cls, options)
    return result


def plain_iou(a: np.ndarray, b: np.ndarray, one: float) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + one
    height = min(a[3], b[3]) - max(a[1], b[1]) + one
    common = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0] + one) * (c[3] - c[1] + one) for c in (a, b)]
    return common / (sum(areas) - common)


def plain_filter(boxes: np.ndarray, scores: np.ndarray, options: LinkOptions) -> list[int]:
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] > options.min_score]
    kept: list[int] = []
    for i in order[: options.nms_top]:
        if all(plain_iou(boxes[i], boxes[j], 0) <= options.nms_iou for j in kept):
            kept.append(i)
    return kept[: options.top]


def plain_link_class(
    detections: Detections, video: int, cls: int, options: LinkOptions
) -> list[tuple]:
    live: list[dict] = []
    done: list[dict] = []
    for frame in range(1, detections.nframes[video] + 1):
        row = detections.video_ptr[video] + frame - 1
        rows = np.arange(detections.frame_ptr[row], detections.frame_ptr[row + 1])
        rows = rows[detections.classes[rows] == cls]
        boxes, scores = detections.boxes[rows].astype(float), detections.scores[rows].astype(float)
        free = plain_filter(boxes, scores, options)
        for path in live:
            fits = [
                i for i in free if plain_iou(path["boxes"][-1], boxes[i], 1) >= options.link_iou
            ]
            path["misses"] += 1
            if fits:
                best = max(fits, key=lambda i: scores[i])
                free.remove(best)
                path["boxes"].append(boxes[best])
                path["scores"].append(scores[best])
                path["frames"].append(frame)
                path["misses"] = 0
        done += [p for p in live if p["misses"] >= options.gap]
        live = [p for p in live if p["misses"] < options.gap]
        live.sort(key=lambda p: -np.mean(sorted(p["scores"])[-options.gap - 1 :]))
        for i in free:
            live.append(
                {"boxes": [boxes[i]], "scores": [scores[i]], "frames": [frame], "misses": 0}
            )
    return [plain_tube(p, video, cls, options) for p in done + live if plain_kept(p, options)]


def plain_kept(path: dict, options: LinkOptions) -> bool:
    frames = path["frames"]
    return len(frames) > options.gap and frames[-1] - frames[0] + 1 >= options.min_length


def plain_tube(path: dict, video: int, cls: int, options: LinkOptions) -> tuple:
    frames, scores = path["frames"], []
    for before, after, score in zip([frames[0] - 1, *frames], frames, path["scores"], strict=False):
        scores += [score] * (after - before)
    best = np.mean(sorted(scores)[-options.score_boxes :])
    return video, cls, frames[0], frames[-1], round(float(best), 5)


@pytest.mark.parametrize(
    "options", [LinkOptions(), LinkOptions(gap=5, top=3), LinkOptions(gap=1, min_length=4, top=2)]
)
def test_parity_with_the_plain_protocol(crowd: Detections, options: LinkOptions) -> None:
    expected = sorted(plain_link(crowd, options))
    tubes = link(crowd, options)
    columns = (tubes.video, tubes.classes, tubes.start, tubes.last, tubes.scores)
    linked = sorted((*map(int, row[:4]), float(row[4])) for row in zip(*columns, strict=True))
    assert len(expected) > 10
    assert [row[:4] for row in linked] == [row[:4] for row in expected]
    np.testing.assert_allclose([r[4] for r in linked], [r[4] for r in expected], atol=2e-5)


def test_online_is_offline(crowd: Detections) -> None:
    """Fed frame by frame, the linker makes the decisions that offline linking keeps."""
    tubes = link(crowd, SHORT)
    for video in range(len(crowd.videos)):
        linker, boxes = OnlineLinker(3, SHORT), {}
        for row in range(crowd.video_ptr[video], crowd.video_ptr[video + 1]):
            part = slice(crowd.frame_ptr[row], crowd.frame_ptr[row + 1])
            frame = linker.update(crowd.boxes[part], crowd.scores[part], crowd.classes[part])
            for path, index in zip(frame.path.tolist(), frame.index.tolist(), strict=True):
                boxes.setdefault(path, []).append(crowd.boxes[part][index])
        long = sorted(np.stack(b).tolist() for b in boxes.values() if len(b) > 1)
        mine = tubes.take(tubes.video == video)
        assert sorted(b.tolist() for b in np.split(mine.boxes, mine.ptr[1:-1])) == long


def test_memory_does_not_grow_online() -> None:
    linker = OnlineLinker(2)
    rng = np.random.default_rng(0)
    ended = started = 0
    for frame in range(2000):
        corner = rng.uniform(0, 300, (6, 2))
        boxes = np.concatenate([corner, corner + 40], axis=1)
        boxes[0] = BOX
        linked = linker.update(boxes, rng.random(6), rng.integers(0, 2, 6))
        started, ended = max(started, *linked.path + 1), ended + len(linked.ended)
        kept = sum(v.nbytes for v in vars(linker).values() if isinstance(v, np.ndarray))
        assert kept < 20_000, frame
    assert started > 1000
    assert started - ended < 40


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_each_box_knows_its_detection(crowd: Detections, alpha: float | None) -> None:
    video, options = crowd.select(crowd.videos[:1]), LinkOptions(temporal_alpha=alpha)
    tubes, sources = link_side_by_side(video, options)
    assert_same(tubes, link(video, options))
    assert np.array_equal(video.boxes[sources], tubes.boxes)
    assert np.array_equal(video.scores[sources], tubes.box_scores)
    filled = video.frame_rows[sources] + 1 != tubes.box_frames
    assert 0 < filled.sum() < len(sources)


def test_two_processes_give_what_one_gives(crowd: Detections) -> None:
    assert_same(link(crowd, processes=2), link(crowd))


def test_nothing_to_link(make_detections: Callable[..., Detections]) -> None:
    assert len(link(make_detections([]))) == 0
    assert len(link(make_detections([], ()))) == 0


def test_actionness_goes_along(make_detections: Callable[..., Detections]) -> None:
    frames = [1, 2, 4, 5, 6]
    found = make_detections(
        [(0, f, 0, 0.5, BOX) for f in frames], actionness=[0.1 * f for f in frames]
    )
    tubes = link(found, LinkOptions(min_length=1))
    np.testing.assert_allclose(tubes.actionness, [0.1, 0.2, 0.4, 0.4, 0.5, 0.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("boxes", "scores", "groups", "message"),
    [
        ([BOX], [0.5], [2], "unknown class 2"),
        ([BOX], [np.nan], [0], "NaN or infinity in 'scores'"),
        ([BOX], [0.5, 0.4], [0, 0], "'boxes' has shape"),
        ([BOX[::-1]], [0.5], [0], "inverted box"),
    ],
)
def test_bad_frames_are_refused(boxes: list, scores: list, groups: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnlineLinker(2).update(np.array(boxes), np.array(scores), np.array(groups))


def test_viterbi_pays_for_changes() -> None:
    scores = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 4)
    # To follow the middle costs two changes and gains three.
    for alpha, middle in ((1.4, 1), (1.6, 0)):
        labels = viterbi(scores, np.array([11]), alpha)
        assert labels.tolist() == [0] * 4 + [middle] * 3 + [0] * 4
    both = viterbi(np.concatenate([scores, 1 - scores[:5]]), np.array([11, 5]), 1.4)
    assert both.tolist() == [0] * 4 + [1] * 3 + [0] * 4 + [1] * 5


def test_temporal_labelling_cuts_tubes(make_detections: Callable[..., Detections]) -> None:
    """Class 1 outdoes class 0 on the last 20 of 40 frames, on the same box."""
    rows = [(0, f, 0, 0.9 if f <= 20 else 0.1, BOX) for f in range(1, 41)]
    rows += [(0, f, 1, 0.1 if f <= 20 else 0.9, moved(BOX, 2)) for f in range(1, 41)]
    found = make_detections(rows, ("a",))
    whole = link(found)
    np.testing.assert_allclose(class_scores(whole, found)[0], [0.9, 0.1, 0.0], rtol=1e-6)
    tubes = link(found, LinkOptions(temporal_alpha=3.0))
    assert whole.last.tolist() == [40, 40]
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([1, 21], [20, 40])
    np.testing.assert_allclose(tubes.scores, [0.9, 0.9], rtol=1e-6)
