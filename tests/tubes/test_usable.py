"""Files with some rows that cannot be: those are left out and counted, the rest is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, Tubes

BOX = (0, 0, 9, 9)
BAD_DETECTIONS = [
    ("boxes", (np.nan, 0, 9, 9)),
    ("boxes", (9, 0, 0, 9)),
    ("scores", np.inf),
]
BAD_TUBES = [
    ("boxes", (np.nan, 0, 9, 9)),
    ("fscores", np.nan),
    ("score", np.nan),
]


def spoil(path: Path, name: str, row: int, value: object) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = arrays[name].copy()
    arrays[name][row] = value
    np.savez(path, **arrays)


@pytest.mark.parametrize(("name", "value"), BAD_DETECTIONS)
def test_detections(
    make_detections: Callable[..., Detections], tmp_path: Path, name: str, value: object
) -> None:
    rows = [(0, 1, 0, 0.9, BOX), (0, 3, 1, 0.8, BOX), (1, 2, 2, 0.7, BOX)]
    make_detections(rows).save(path := tmp_path / "d.npz")
    spoil(path, name, 1, value)
    with pytest.warns(UserWarning, match=r"d\.npz: 1 of 3 detections are left out \(the first: "):
        found = Detections.load(path)
    expected = make_detections([rows[0], rows[2]])
    for field in ("frame_ptr", "video_ptr", "scores", "classes", "boxes"):
        assert np.array_equal(getattr(found, field), getattr(expected, field))


@pytest.mark.parametrize(("name", "value"), BAD_TUBES)
def test_tubes(make_tubes: Callable[..., Tubes], tmp_path: Path, name: str, value: object) -> None:
    rows = [(0, 0, 0.9, 1, [BOX] * 2), (0, 1, 0.8, 4, [BOX] * 3), (1, 2, 0.7, 2, [BOX])]
    make_tubes(rows).save(path := tmp_path / "t.npz")
    of_boxes = name in ("boxes", "fscores")
    spoil(path, name, 3 if of_boxes else 1, value)
    with pytest.warns(UserWarning, match=r"t\.npz: 1 of 3 tubes are left out \(the first: "):
        found = Tubes.load(path)
    expected = make_tubes([rows[0], rows[2]])
    for field in ("video", "classes", "scores", "start", "ptr", "boxes", "box_scores"):
        assert np.array_equal(getattr(found, field), getattr(expected, field))


def test_nothing_usable_or_a_wrong_shape_is_refused(
    make_detections: Callable[..., Detections], tmp_path: Path
) -> None:
    make_detections([(0, 1, 0, 0.9, BOX)]).save(path := tmp_path / "d.npz")
    spoil(path, "boxes", 0, (np.nan, 0, 9, 9))
    with pytest.raises(ValueError, match=r"d\.npz.*NaN or infinity in 'boxes'"):
        Detections.load(path)
    spoil(path, "video_ptr", -1, 3)
    with pytest.raises(ValueError, match=r"d\.npz.*'video_ptr' is unsorted"):
        Detections.load(path)


def test_classes_that_nothing_has_are_refused_whatever_else_is_wrong(
    make_detections: Callable[..., Detections], tmp_path: Path
) -> None:
    rows = [(0, 1, 0, 0.9, BOX), (0, 3, 1, 0.8, BOX), (1, 2, 2, 0.7, BOX)]
    make_detections(rows).save(path := tmp_path / "d.npz")
    spoil(path, "classes", 2, 3)
    spoil(path, "scores", 0, np.nan)
    with pytest.raises(ValueError, match=r"d\.npz"):
        Detections.load(path)
