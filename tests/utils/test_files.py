"""What is written is read back, and what is wrong with a file is said."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcsc_d2.tubes import Detections, GroundTruth, Tubes
from pcsc_d2.utils.files import atomic_write, load_arrays, remove_leftovers, save_arrays
from pcsc_d2.utils.pickles import restricted_load

BOX = (10.0, 10.0, 19.0, 29.0)


def same(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(getattr(first, f.name), getattr(second, f.name))
        for f in fields(first)
        if getattr(first, f.name) is not None
    )


@pytest.fixture
def detections(make_detections: Callable[..., Detections]) -> Detections:
    rows = [(1, 3, 2, 0.5, BOX), (0, 2, 1, 0.25, BOX), (0, 2, 1, 0.75, BOX), (0, 2, 0, 0.1, BOX)]
    return make_detections(rows, actionness=[0.1, 0.2, 0.3, 0.4])


@pytest.fixture
def tubes(make_tubes: Callable[..., Tubes]) -> Tubes:
    return make_tubes([(0, 1, 0.5, 3, [BOX] * 2), (1, 0, 0.75, 1, [BOX] * 3)])


def test_detections_are_sorted_and_addressed(detections: Detections) -> None:
    assert detections.classes.tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(detections.scores, [0.1, 0.75, 0.25, 0.5])
    np.testing.assert_allclose(detections.actionness, [0.4, 0.3, 0.2, 0.1])
    row = detections.video_ptr[1] + 3 - 1
    assert detections.frame_ptr[row : row + 2].tolist() == [3, 4]


def test_round_trip(detections: Detections, tubes: Tubes, tmp_path: Path) -> None:
    detections.save(tmp_path / "d.npz")
    tubes.save(tmp_path / "new" / "t.npz")
    assert same(Detections.load(tmp_path / "d.npz"), detections)
    assert same(Tubes.load(tmp_path / "new" / "t.npz"), tubes)
    assert Tubes.load(tmp_path / "new" / "t.npz").actionness is None
    assert sorted(os.listdir(tmp_path)) == ["d.npz", "new"]


def test_from_frames_equals_from_arrays(detections: Detections) -> None:
    box = np.array([BOX])
    frames = {
        ("b", 3): (box, [0.5], [2], [0.1]),
        ("a", 2): (box.repeat(3, 0), [0.25, 0.75, 0.1], [1, 1, 0], [0.2, 0.3, 0.4]),
        ("a", 7): (np.zeros((0, 4)), [], [], []),
    }
    built = Detections.from_frames(["a", "b"], detections.labels, [40, 40], frames)
    assert same(built, detections)
    assert len(Detections.from_frames(["a"], ["run"], [5], {})) == 0


@pytest.mark.parametrize(
    ("key", "part", "message"),
    [
        (("c", 1), ([BOX], [0.5], [0]), "unknown video 'c'"),
        (("a", 41), ([BOX], [0.5], [0]), "'a' has frames 1 to 40, not 41"),
        (("a", 1), ([BOX], [0.5, 0.5], [0]), "video 'a' frame 1: arrays of lengths"),
        (("a", 1), ([BOX], [0.5], [3]), "unknown class 3 .*video 'a' frame 1"),
        (("a", 1), ([BOX], [np.nan], [0]), "NaN or infinity in 'scores'"),
    ],
)
def test_from_frames_names_the_mistake(key: Any, part: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections.from_frames(["a", "b"], ["x", "y", "z"], [40, 40], {key: part})


def test_select_reorders(detections: Detections) -> None:
    picked = detections.select(["b"])
    assert picked.videos.tolist() == ["b"]
    assert picked.scores.tolist() == [0.5]
    assert same(detections.select(["b", "a"]).select(["a", "b"]), detections)
    with pytest.raises(ValueError, match="unknown video 'c'"):
        detections.select(["c"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("boxes", lambda a: a[:, :3], "'boxes' has shape"),
        ("scores", lambda a: a[:-1], "frame_ptr' ends at 4; expected 3"),
        ("boxes", lambda a: a[:, [2, 1, 0, 3]], "inverted box .*video 'a' frame 2"),
        ("boxes", lambda a: a * np.float32("nan"), "NaN or infinity in 'boxes'"),
        ("classes", lambda a: a + 1, "unknown class 3 .*video 'b' frame 3"),
        ("frame_ptr", lambda a: a[::-1], "starts at 4"),
        ("scores", lambda a: a[::-1], "not sorted by class, then score .*video 'a' frame 2"),
        ("nframes", lambda a: a + np.array([1, -1], np.int32), "disagree"),
        ("videos", lambda a: a[[0, 0]], "names .* twice"),
        ("nframes", lambda a: a.astype(float), "not integers"),
    ],
)
def test_bad_detections_are_refused(
    detections: Detections, tmp_path: Path, name: str, change: Callable[..., Any], message: str
) -> None:
    arrays = {f.name: getattr(detections, f.name) for f in fields(detections)}
    save_arrays(tmp_path / "bad.npz", arrays | {name: change(arrays[name])})
    with pytest.raises(ValueError, match=message) as error:
        Detections.load(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ptr", lambda a: a[[0, 0, 2]], "'ptr' has an empty row at row 0"),
        ("ptr", lambda a: a[[0, 2, 1]], "'ptr' is unsorted at row 1"),
        ("start", lambda a: a * 0, "starts at frame 0"),
        ("video", lambda a: a + 1, "unknown video 2"),
        ("cls", lambda a: a - 1, "unknown class -1"),
        ("fscores", lambda a: a[1:], "'box_scores' has shape"),
        ("boxes", lambda a: a[:, [0, 3, 2, 1]], "inverted box .*tube 0, video 'a' frame 3"),
    ],
)
def test_bad_tubes_are_refused(
    tubes: Tubes, tmp_path: Path, name: str, change: Callable[..., Any], message: str
) -> None:
    tubes.save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as file:
        arrays = dict(file)
    save_arrays(tmp_path / "bad.npz", arrays | {name: change(arrays[name])})
    with pytest.raises(ValueError, match=message):
        Tubes.load(tmp_path / "bad.npz")


def test_unreadable_archives_are_named(tmp_path: Path, tubes: Tubes) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError, match=r"x\.npz"):
        Tubes.load(path)
    tubes.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"x\.npz: cannot be read"):
        Tubes.load(path)
    save_arrays(path, {"video": tubes.video})
    with pytest.raises(ValueError, match="array 'videos' is missing"):
        Tubes.load(path)
    np.savez(path, videos=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"x\.npz"):
        load_arrays(path, ("videos",))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path, "w") as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path, "w") as file:
            file.write("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*x\.txt'"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    for name in (".model_1.pth.abc", ".model_final.pth.x", ".other.pth.abc", "model_1.pth"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "model_*.pth")
    assert sorted(os.listdir(tmp_path)) == [".other.pth.abc", "model_1.pth"]


def test_ground_truth_round_trip(make_truth: Callable[..., GroundTruth], tmp_path: Path) -> None:
    truth = make_truth([(1, 0, 3, [BOX] * 2), (1, 0, 9, [BOX]), (0, 2, 40, [BOX])])
    truth.save(tmp_path / "gt.pkl")
    read = GroundTruth.load(tmp_path / "gt.pkl")
    assert read.labels == truth.labels
    assert np.array_equal(read.resolution, truth.resolution)
    assert (read.train, read.test) == (truth.train, truth.test)
    assert read.tubes.video.tolist() == [0, 1, 1]
    assert read.tubes.start.tolist() == [40, 3, 9]
    assert read.tubes.last.tolist() == [40, 4, 9]


def test_selecting_ground_truth(make_truth: Callable[..., GroundTruth]) -> None:
    truth = make_truth([(0, 2, 40, [BOX]), (1, 0, 3, [BOX] * 2)])
    swapped = truth.select(["b", "a"])
    assert swapped.tubes.classes.tolist() == [0, 2]
    assert swapped.tubes.video.tolist() == [0, 1]
    only = truth.select(["a"])
    assert (only.tubes.classes.tolist(), only.test) == ([2], [["a"]])
    assert truth.split(1, "test").videos.tolist() == ["a", "b"]
    assert len(truth.split(1, "train").tubes) == 0
    with pytest.raises(ValueError, match="unknown video 'x'"):
        truth.select(["x"])
    with pytest.raises(ValueError, match="no split 2"):
        truth.split(2, "test")
    with pytest.raises(ValueError, match="'val'"):
        truth.split(1, "val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("nframes"), "key 'nframes' is missing"),
        (lambda c: c["gttubes"].update(x={}), r"disagrees .*\['x'\]"),
        (lambda c: c["resolution"].pop("a"), r"disagrees .*\['a'\]"),
        (lambda c: c["nframes"].update(a=3), "'a' has 3 frames, but a tube ends at frame 4"),
        (lambda c: c["test_videos"][0].append("x"), r"unknown videos: \['x'\]"),
        (lambda c: c["gttubes"]["a"][1][0].__setitem__((1, 0), 9), "not consecutive"),
        (lambda c: c["gttubes"]["a"].update({1: [np.ones((2, 4))]}), r"expected \(n, 5\)"),
        (lambda c: c["gttubes"]["a"].update({7: c["gttubes"]["a"][1]}), "unknown class 7"),
    ],
)
def test_bad_ground_truth_is_refused(
    make_truth: Callable[..., GroundTruth],
    tmp_path: Path,
    change: Callable[[dict[str, Any]], Any],
    message: str,
) -> None:
    path = tmp_path / "gt.pkl"
    make_truth([(0, 1, 3, [BOX] * 2)]).save(path)
    content = restricted_load(path)
    change(content)
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        GroundTruth.load(path)
    assert str(path) in str(error.value)
