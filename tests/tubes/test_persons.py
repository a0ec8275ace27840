"""Who is who: which tubes are taken for one person's."""

from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.tubes import PersonOptions, find_persons
from tests.tube_makers import build_tubes

HERE, NEAR, ELSEWHERE = [0, 0, 40, 80], [4, 0, 44, 80], [200, 0, 240, 80]


def stays(box: list[int], frames: int) -> list[list[int]]:
    return [box] * frames


def persons(*rows: tuple, **options: float) -> list[int]:
    """Of rows of class, first frame, boxes."""
    tubes = build_tubes([(0, cls, 0.5, start, boxes) for cls, start, boxes in rows])
    return find_persons(tubes, PersonOptions(**options)).tolist()


def test_two_classes_of_one_actor() -> None:
    assert persons((0, 1, stays(HERE, 20)), (1, 5, stays(NEAR, 10))) == [1, 1]


def test_two_actors() -> None:
    assert persons((0, 1, stays(HERE, 20)), (0, 1, stays(ELSEWHERE, 20))) == [1, 2]


def test_numbers_are_by_first_frame() -> None:
    assert persons((0, 9, stays(HERE, 5)), (0, 2, stays(ELSEWHERE, 5))) == [2, 1]


@pytest.mark.parametrize(
    ("start", "box", "same"), [(22, NEAR, 1), (60, NEAR, 2), (22, ELSEWHERE, 2)]
)
def test_one_action_after_the_other(start: int, box: list[int], same: int) -> None:
    assert persons((0, 1, stays(HERE, 20)), (1, start, stays(box, 20))) == [1, same]


def test_the_gap_counts_frames_without_a_box() -> None:
    rows = (0, 1, stays(HERE, 20)), (1, 31, stays(HERE, 5))
    assert persons(*rows, gap=9) == [1, 2]
    assert persons(*rows, gap=11) == [1, 1]


def test_people_who_pass_each_other_stay_two() -> None:
    ways = np.linspace(0, 200, 50)
    right = [[x, 0, x + 40, 80] for x in ways]
    left = [[200 - x, 0, 240 - x, 80] for x in ways]
    assert persons((0, 1, right), (0, 1, left), (1, 1, right), (1, 1, left)) == [1, 2, 1, 2]


def test_nobody_is_in_two_places_at_once() -> None:
    """A tube that lies half on each of two people joins the one that it fits better."""
    one, between, two = [0, 0, 60, 80], [24, 0, 84, 80], [54, 0, 114, 80]
    rows = [(cls, 1, stays(box, 9)) for cls, box in enumerate((one, between, two))]
    assert persons(*rows, overlap=0.3) == [1, 1, 2]


def test_videos_are_apart() -> None:
    rows = [(v, 0, 0.5, 1, stays(HERE, 5)) for v in (1, 0, 1)]
    assert find_persons(build_tubes(rows)).tolist() == [2, 1, 2]


def test_no_tubes() -> None:
    assert find_persons(build_tubes([])).tolist() == []


@pytest.mark.parametrize("seed", range(30))
def test_what_holds_for_any_tubes(seed: int) -> None:
    """Actors who stay apart are found again, each with all of their tubes, in any order."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for actor in range(rng.integers(1, 7)):
        corner = np.array([actor * 150.0, rng.uniform(0, 50)])
        length = int(rng.integers(40, 90))
        path = corner + rng.normal(0, 1, (length, 2)).cumsum(0).clip(-20, 20)
        boxes = np.hstack([path, path + np.array([50, 90])])
        start = int(rng.integers(1, 30))
        rows.append((0, 0, 0.5, start, boxes))
        truth.append(actor)
        for cls in range(1, int(rng.integers(1, 3)) + 1):
            first = int(rng.integers(0, length - 10))
            part = boxes[first : first + int(rng.integers(5, 40))]
            rows.append((0, cls, 0.5, start + first, part + rng.normal(0, 2, part.shape).round()))
            truth.append(actor)
    order = rng.permutation(len(rows))
    found = find_persons(build_tubes([rows[i] for i in order]))
    assert len({(truth[i], p) for i, p in zip(order, found.tolist())}) == len(set(truth))
    starts = [min(r[3] for r, a in zip(rows, truth) if a == actor) for actor in set(truth)]
    first_of = {p: min(rows[i][3] for i, q in zip(order, found) if q == p) for p in set(found)}
    assert [first_of[p] for p in sorted(first_of)] == sorted(starts)


@pytest.mark.parametrize("options", [{"overlap": 0.1}, {"apart": -0.1}, {"gap": -1}])
def test_options_that_cannot_be(options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PersonOptions(**options)
