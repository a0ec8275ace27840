"""Frame and video mAP: each rule by hand, and properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, link, video_map
from pcsc_d2.tubes.scoring.candidates import tube_nms
from pcsc_d2.tubes.scoring.curves import Curve, envelope_area, trapezoid_area
from pcsc_d2.tubes.scoring.results import score as score_all

BOX = (0, 0, 99, 99)
NEAR = (0, 0, 99, 79)  # IoU 0.8 with BOX
HALF = (0, 0, 99, 49)  # IoU 0.5 with BOX
LESS = (0, 0, 99, 48)  # IoU 0.49 with BOX
FAR = (200, 200, 219, 219)


def curve(hits: list[bool], positives: int) -> Curve:
    return Curve(np.linspace(1, 0, len(hits), dtype=np.float32), np.array(hits, bool), positives)


@pytest.mark.parametrize(
    ("hits", "positives", "trapezoid", "envelope"),
    [
        ([True, True], 2, 1, 1),
        # Points (r, p): (0, 1), (0, 0), (1, 1/2).
        ([False, True], 1, 0.25, 0.5),
        # (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3); the envelope is 1, then 2/3.
        ([True, False, True], 2, 0.5 + 0.25 * (1 / 2 + 2 / 3), 0.5 + 0.5 * 2 / 3),
        # Two of four found at precision 1/2 and 2/4.
        ([False, True, False, True], 4, 0.125 * (0 + 1 / 2 + 1 / 3 + 1 / 2), 0.25),
        # Precision rises to the end: 1/3 and 2/4, and 1/2 at both under the envelope.
        ([False, False, True, True], 2, 0.25 * (0 + 1 / 3 + 1 / 3 + 1 / 2), 0.5),
        ([False], 1, 0, 0),
        ([], 3, 0, 0),
    ],
)
def test_areas(hits: list[bool], positives: int, trapezoid: float, envelope: float) -> None:
    points = curve(hits, positives)
    assert trapezoid_area(points.precision, points.hits, positives) == pytest.approx(trapezoid)
    assert envelope_area(points.precision, points.hits, positives) == pytest.approx(envelope)
    assert points.average_precision(envelope=True) == pytest.approx(100 * envelope)


def test_threshold_is_reached_at_equality(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX])])
    for box, expected in ((HALF, 100), (LESS, 0)):
        found = make_detections([(0, 1, 0, 0.9, box)])
        assert frame_map(found, truth).mean == expected


def test_duplicate_is_wrong(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX, BOX])])
    found = make_detections([(0, 1, 0, 0.9, NEAR), (0, 1, 0, 0.8, BOX), (0, 2, 0, 0.7, BOX)])
    score = frame_map(found, truth)
    assert score.curves["run"].hits.tolist() == [True, False, True]
    assert score.mean == pytest.approx(100 * (0.5 + 0.25 * (1 / 2 + 2 / 3)))


def test_ignored_tubes_are_neither_to_be_found_nor_a_mistake(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX]), (0, 0, 1, [FAR, FAR]), (0, 1, 1, [BOX])])
    found = make_detections(
        [(0, 1, 0, 0.9, FAR), (0, 1, 0, 0.8, BOX), (0, 2, 0, 0.7, BOX), (0, 1, 1, 0.6, BOX)]
    )
    score = frame_map(found, truth, ignored=np.array([False, True, True]))
    assert score.curves["run"].hits.tolist() == [True, False]
    assert score.per_class["run"] == pytest.approx(100)
    assert np.isnan(score.per_class["jump"])
    assert frame_map(found, truth, ignored=np.zeros(3, bool)).mean == frame_map(found, truth).mean


def test_second_choice_counts_in_act_only(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    # Both detections overlap BOX most; the second also overlaps NEAR.
    truth = make_truth([(0, 0, 1, [BOX]), (0, 0, 1, [NEAR])])
    found = make_detections([(0, 1, 0, 0.9, BOX), (0, 1, 0, 0.8, BOX)])
    assert frame_map(found, truth).curves["run"].hits.tolist() == [True, True]
    assert frame_map(found, truth, protocol="voc").curves["run"].hits.tolist() == [True, False]


def test_the_best_overlap_is_matched_first(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    # The first overlaps one by 0.6 and the other by 1; the second only the one, by 0.75.
    truth = make_truth([(0, 0, 1, [(0, 0, 99, 59)]), (0, 0, 1, [BOX])])
    found = make_detections([(0, 1, 0, 0.9, BOX), (0, 1, 0, 0.8, (0, 0, 99, 44))])
    for protocol in ("act", "voc"):
        assert frame_map(found, truth, protocol=protocol).mean == 100


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_equal_scores_are_ordered_by_their_boxes(
    make_detections: Callable[..., Detections],
    make_tubes: Callable[..., Tubes],
    make_truth: Callable[..., GroundTruth],
    order: list[int],
) -> None:
    truth = make_truth([(0, 0, 1, [BOX])])
    boxes = [BOX, FAR]
    found = make_detections([(0, 1, 0, 0.5, boxes[i]) for i in order])
    assert frame_map(found, truth).curves["run"].hits.tolist() == [True, False]
    tubes = make_tubes([(0, 0, 0.5, 1, [boxes[i]]) for i in order])
    assert video_map(tubes, truth, [0.5])[0.5].curves["run"].hits.tolist() == [True, False]


def test_class_without_ground_truth_is_left_out(
    make_detections: Callable[..., Detections],
    make_tubes: Callable[..., Tubes],
    make_truth: Callable[..., GroundTruth],
) -> None:
    truth = make_truth([(0, 0, 1, [BOX]), (1, 2, 1, [BOX])])
    score = frame_map(make_detections([(0, 1, 0, 0.9, BOX), (0, 1, 1, 0.9, BOX)]), truth)
    assert np.isnan(score.per_class["jump"])
    assert score.without_ground_truth == ["jump"]
    assert score.mean == 50
    videos = video_map(make_tubes([(0, 0, 0.9, 1, [BOX]), (0, 1, 0.9, 1, [BOX])]), truth)
    assert videos[0.5].without_ground_truth == ["jump"]
    assert videos.average == 50
    empty = make_truth([])
    assert np.isnan(frame_map(make_detections([]), empty).mean)


def test_frames_without_ground_truth_count(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX])])
    found = make_detections([(0, 30, 0, 0.9, BOX), (0, 1, 0, 0.8, BOX)])
    assert frame_map(found, truth).mean == pytest.approx(25)


def test_plus_one_is_a_matter_of_protocol(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [(0, 0, 9, 9)])])
    found = make_detections([(0, 1, 0, 0.9, (0, 0, 9, 4))])  # 50 of 100 pixels, 36 of 81 without
    assert frame_map(found, truth, protocol="voc").mean == 100
    assert frame_map(found, truth, protocol="voc_no_plus_one").mean == 0
    with pytest.raises(ValueError, match="unknown protocol 'coco'; there are act, voc"):
        frame_map(found, truth, protocol="coco")


def test_order_of_the_input_never_matters(
    crowd: Detections, make_truth: Callable[..., GroundTruth]
) -> None:
    """Equal scores included, of which this crowd has many."""
    rng = np.random.default_rng(1)
    truth = make_truth(
        [(v, c, 3, [(40, 40, 80, 90)] * 9) for v in range(4) for c in range(3)], list("abcd")
    )
    video = np.searchsorted(crowd.video_ptr, crowd.frame_rows, side="right") - 1
    frame = crowd.frame_rows - crowd.video_ptr[video] + 1
    assert len(np.unique(crowd.scores)) < len(crowd) / 2
    tubes = link(crowd)
    expected = frame_map(crowd, truth, 0.2).per_class, video_map(tubes, truth, [0.1])[0.1].per_class
    assert expected[0]["run"] > 0
    for _ in range(3):
        i = rng.permutation(len(crowd))
        names = rng.permutation(4)
        position = np.argsort(names)
        shuffled = Detections.from_arrays(
            crowd.videos[names],
            crowd.labels,
            crowd.nframes[names],
            position[video[i]],
            frame[i],
            crowd.boxes[i],
            crowd.scores[i],
            crowd.classes[i],
        )
        assert frame_map(shuffled, truth, 0.2).per_class == expected[0]
        relinked = link(shuffled)
        assert len(relinked) == len(tubes)
        mixed = relinked.take(rng.permutation(len(tubes)))
        assert video_map(mixed, truth, [0.1])[0.1].per_class == expected[1]


def test_ground_truth_as_detections_scores_100(
    make_truth: Callable[..., GroundTruth],
) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (6, 12, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 50, (6, 12, 2))], axis=2)
    truth = make_truth([(i % 2, i % 3, 1 + 3 * i, boxes[i]) for i in range(6)])
    tubes = truth.tubes
    found = Detections.from_arrays(
        truth.videos,
        truth.labels,
        truth.nframes,
        np.repeat(tubes.video, tubes.lengths),
        tubes.box_frames,
        tubes.boxes,
        rng.random(len(tubes.boxes)),
        np.repeat(tubes.classes, tubes.lengths),
    )
    for protocol in ("act", "voc"):
        assert frame_map(found, truth, 0.99, protocol).mean == 100
        assert video_map(tubes, truth, protocol=protocol).average == 100


def test_tube_that_ends_inside_another(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 20)])
    scores = video_map(make_tubes([(0, 0, 0.9, 5, [BOX] * 12)]), truth)  # tube IoU 0.6
    values = {iou: score.mean for iou, score in scores.items()}
    assert values == {iou: 100.0 if iou <= 0.6 else 0.0 for iou in values}
    assert scores.average == pytest.approx(30)


def test_one_frame_tubes(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 7, [BOX]), (1, 0, 7, [BOX])])
    tubes = make_tubes([(0, 0, 0.9, 7, [BOX]), (1, 0, 0.8, 8, [BOX])])
    assert video_map(tubes, truth, [0.95])[0.95].curves["run"].hits.tolist() == [True, False]


def test_tube_suppression_is_within_video_and_class(make_tubes: Callable[..., Tubes]) -> None:
    tubes = make_tubes(
        [
            (0, 0, 0.5, 1, [BOX] * 10),
            (0, 0, 0.9, 1, [NEAR] * 10),  # better than the first, tube IoU 0.8: the first goes
            (0, 0, 0.4, 8, [BOX] * 10),  # tube IoU 3/17 * 0.8 with the second: stays
            (0, 1, 0.1, 1, [BOX] * 10),  # another class
            (1, 0, 0.1, 1, [BOX] * 10),  # another video
            (0, 0, 0.3, 1, [HALF] * 6),  # 50/80 * 6/10 = 0.375 with the second: goes
            (0, 0, 0.3, 1, [NEAR] * 3),  # exactly 0.3 with the second: stays
            (0, 2, 0.9, 1, [BOX] * 10),
            (0, 2, 0.3, 1, [HALF] * 6),  # exactly 0.5 * 0.6 with the one before: stays
        ]
    )
    assert tube_nms(tubes, 0.3).tolist() == [1, 2, 3, 4, 6, 7, 8]


def test_suppression_before_scoring_is_a_matter_of_protocol(
    make_tubes: Callable[..., Tubes], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX] * 10)])
    tubes = make_tubes([(0, 0, 0.9, 1, [BOX] * 10), (0, 0, 0.8, 1, [NEAR] * 10)])
    assert len(video_map(tubes, truth, [0.5])[0.5].curves["run"].hits) == 1
    assert len(video_map(tubes, truth, [0.5], "voc")[0.5].curves["run"].hits) == 2


def test_videos_that_do_not_fit_are_said(
    make_detections: Callable[..., Detections],
    make_tubes: Callable[..., Tubes],
    make_truth: Callable[..., GroundTruth],
) -> None:
    truth = make_truth([(0, 0, 1, [BOX]), (1, 0, 1, [BOX])])
    names = ("x", "a")
    found = make_detections([(0, 1, 0, 1, BOX), (1, 1, 0, 0.5, BOX)], names)
    with pytest.warns(UserWarning, match="among|left out") as warned:
        score = frame_map(found, truth)
    assert "1 videos are not in the ground truth and are left out, such as 'x'" in str(warned[0])
    assert "1 videos of the ground truth are not among the results" in str(warned[1])
    assert score.curves["run"].hits.tolist() == [True]
    assert score.mean == 50
    tubes = make_tubes([(0, 0, 1.0, 1, [BOX]), (1, 0, 0.5, 1, [BOX])], names)
    with pytest.warns(UserWarning, match="among|left out") as warned:
        score_all(truth, found, tubes)
    assert len(warned) == 2
    with pytest.warns(UserWarning, match="among|left out"):
        assert video_map(tubes, truth, [0.5])[0.5].mean == 50


def test_labels_are_matched_by_name(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 2, 1, [BOX])])
    rows = [(0, 1, 0, 0.9, BOX), (0, 1, 1, 0.3, BOX)]
    assert frame_map(make_detections(rows, labels=("wave", "run")), truth).mean == 100
    with pytest.raises(ValueError, match="unknown class 'fly'"):
        frame_map(make_detections(rows, labels=("wave", "fly")), truth)


def test_more_frames_than_the_ground_truth_knows(
    make_detections: Callable[..., Detections], make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_truth([(0, 0, 1, [BOX]), (1, 0, 1, [BOX])], nframes=5)
    rows = [(0, 6, 0, 0.9, BOX), (0, 1, 0, 0.8, BOX), (1, 1, 0, 0.7, BOX)]
    hits = frame_map(make_detections(rows, nframes=7), truth).curves["run"].hits
    assert hits.tolist() == [False, True, True]
