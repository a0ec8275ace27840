from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pcsc_d2.datasets.annotations import (
    mask_boxes,
    read_annotations,
    read_puppet_masks,
    read_video_list,
)
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.tubes import GroundTruth


def dump(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def tube(label: int, sf: int, boxes: list[list[int]]) -> dict:
    """A tube of pyannot.pkl, with the small integers of the real file."""
    kind = np.uint8 if np.max(boxes) < 256 else np.uint16
    ends = np.uint8(sf + len(boxes))
    return {"label": label, "sf": np.uint8(sf), "ef": ends, "boxes": np.array(boxes, kind)}


@pytest.fixture
def pyannot() -> dict:
    """Three videos of two classes; one has no tube."""
    run = tube(1, 2, [[200, 10, 100, 229], [201, 10, 100, 229]])
    return {
        "Run/v_b": {"numf": np.uint8(9), "label": 1, "annotations": [run]},
        "Dive/v_a": {
            "numf": np.uint8(200),
            "label": 0,
            "annotations": [tube(0, 0, [[1, 1, 10, 20]]), tube(0, 150, [[5, 6, 7, 8]] * 50)],
        },
        "Dive/v_c": {"numf": np.uint8(4), "label": 0, "annotations": []},
    }


@pytest.fixture
def final_annots(pyannot) -> np.ndarray:
    """The same as MATLAB holds it: sf from 1, ef inclusive, classes from 1."""
    videos = np.zeros((1, len(pyannot)), [("num_imgs", "O"), ("name", "O"), ("tubes", "O")])
    for row, (video_name, video) in zip(videos[0], pyannot.items()):
        tubes = np.zeros(
            (1, len(video["annotations"])), [(k, "O") for k in ("ef", "sf", "class", "boxes")]
        )
        for out, t in zip(tubes[0], video["annotations"]):
            out["sf"], out["ef"] = int(t["sf"]) + 1, int(t["ef"])
            out["class"], out["boxes"] = t["label"] + 1, t["boxes"]
        row["num_imgs"], row["name"] = video["numf"], video_name
        row["tubes"] = tubes if tubes.size else np.zeros((0, 0))
    return videos


def assert_same(a: GroundTruth, b: GroundTruth) -> None:
    assert a.labels == b.labels
    assert (a.train, a.test) == (b.train, b.test)
    for name in ("videos", "nframes", "resolution"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("video", "classes", "start", "ptr", "boxes"):
        assert np.array_equal(getattr(a.tubes, name), getattr(b.tubes, name)), name


def test_pyannot_by_hand(tmp_path, pyannot):
    truth = read_annotations(dump(tmp_path / "pyannot.pkl", pyannot))
    assert truth.labels == ("Dive", "Run")
    assert truth.videos.tolist() == ["Dive/v_a", "Dive/v_c", "Run/v_b"]
    assert truth.nframes.tolist() == [200, 4, 9]
    assert truth.resolution.tolist() == [[240, 320]] * 3
    assert truth.tubes.video.tolist() == [0, 0, 2]
    assert truth.tubes.classes.tolist() == [0, 0, 1]
    assert truth.tubes.start.tolist() == [1, 151, 3]
    assert truth.tubes.last.tolist() == [1, 200, 4]
    # 200 + 100 does not fit the uint8 of the file
    assert truth.tubes.boxes[-2:].tolist() == [[199, 9, 299, 238], [200, 9, 300, 238]]
    assert (truth.train, truth.test) == ([], [])


def test_all_layouts_give_the_same(tmp_path, pyannot, final_annots):
    listed = tmp_path / "testlist01.txt"
    listed.write_text("Dive/v_a.avi 1\nDive/v_x\n\nPlayingCello/v_y\n")
    scipy.io.savemat(tmp_path / "finalAnnots.mat", {"annot": final_annots})
    issues = AnnotationIssues()
    truth = read_annotations(dump(tmp_path / "pyannot.pkl", pyannot), listed, issues)
    assert truth.train == [["Dive/v_c", "Run/v_b"]]
    assert truth.test == [["Dive/v_a"]]
    assert issues.unannotated == ["Dive/v_x"]  # another class of UCF101 is no finding
    assert_same(truth, read_annotations(tmp_path / "finalAnnots.mat", listed))
    truth.save(tmp_path / "act.pkl")
    assert_same(truth, read_annotations(tmp_path / "act.pkl"))


def test_bad_boxes_are_counted_and_cut_or_dropped(tmp_path, pyannot, caplog):
    boxes = [[1, 1, 10, 10], [300, 1, 99, 10], [5, 5, 0, 9], [5, 5, 9, 9], [5, 250, 4, 4]]
    video = {"numf": 4, "label": 0, "annotations": [tube(0, 0, boxes)]}
    issues = AnnotationIssues()
    path = dump(tmp_path / "pyannot.pkl", {**pyannot, "Dive/v_c": video})
    truth = read_annotations(path, issues=issues).select(["Dive/v_c"])
    assert truth.tubes.start.tolist() == [1, 4]  # cut where the empty box was
    assert truth.tubes.boxes.tolist() == [[0, 0, 10, 10], [299, 0, 319, 10], [4, 4, 13, 13]]
    assert issues.clipped == {"Dive/v_c": 1}
    assert issues.dropped == {"Dive/v_c": 2}
    assert issues.beyond == {}
    assert f"{path}: 2 boxes in 1 videos are inverted, empty or outside" in caplog.text
    assert "first: Dive/v_c" in caplog.text


def test_tube_beyond_the_video_is_cut_and_counted(tmp_path, pyannot):
    pyannot["Run/v_b"]["numf"] = np.uint8(3)
    issues = AnnotationIssues()
    truth = read_annotations(dump(tmp_path / "pyannot.pkl", pyannot), issues=issues)
    assert truth.tubes.last.tolist() == [1, 200, 3]
    assert issues.beyond == {"Run/v_b": 1}


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made_by_a_pickle",)


def test_hostile_pickle_is_refused(tmp_path, pyannot, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = dump(tmp_path / "pyannot.pkl", {**pyannot, "x": Hostile()})
    with pytest.raises(ValueError, match=r"pyannot\.pkl: .*mkdir"):
        read_annotations(path)
    assert not Path("made_by_a_pickle").exists()


def test_unknown_contents_are_refused_in_one_line(tmp_path, pyannot):
    mislabelled = {**pyannot, "Dive/v_c": pyannot["Run/v_b"]}
    longer = {**pyannot["Run/v_b"]["annotations"][0], "ef": 8}
    uneven = {**pyannot, "Run/v_b": {"numf": 9, "annotations": [longer]}}
    for content, message in (
        ([1, 2], "cannot be read as annotations in a known layout"),
        ({"a": 1}, "cannot be read as annotations in a known layout"),
        (mislabelled, "'Dive/v_c' has class number 1"),
        (uneven, "'Run/v_b' has 2 boxes for frames 3 to 8"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            read_annotations(dump(tmp_path / "a.pkl", content))
        assert str(error.value).startswith(str(tmp_path / "a.pkl"))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(ValueError, match=r"a\.mat: cannot be read as a MATLAB file"):
        read_annotations(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {"other": 1})
    with pytest.raises(
        ValueError, match=r"b\.mat: cannot be read as annotations in a known layout"
    ):
        read_annotations(tmp_path / "b.mat")
    for missing in ("c.mat", "c.pkl"):
        with pytest.raises(FileNotFoundError, match=missing):
            read_annotations(tmp_path / missing)
    with pytest.raises(FileNotFoundError, match="no such split list"):
        read_annotations(dump(tmp_path / "a.pkl", pyannot), tmp_path / "no.txt")


def test_video_list_has_names_alone(tmp_path):
    (tmp_path / "list.txt").write_text("A/v_1.avi\nB/v_2.avi 7\r\nB/v.3\n")
    assert read_video_list(tmp_path / "list.txt") == ["A/v_1", "B/v_2", "B/v.3"]


@pytest.fixture
def masks(tmp_path) -> Path:
    """Two masks of three listed videos; the first has a frame without the person."""
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[5:9, 7:12, 0] = 1
    mask[3, 4, 2] = mask[19, 29, 2] = 9
    for name in ("run/a.b", "wave/c"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        scipy.io.savemat(tmp_path / "masks" / name / "puppet_mask.mat", {"part_mask": mask})
    (tmp_path / "splits").mkdir()
    for split, (a, b, c) in enumerate([(1, 2, 1), (2, 1, 2)], start=1):
        (tmp_path / f"splits/run_test_split{split}.txt").write_text(f"a.b.avi {a}\nb.avi {b}\n")
        (tmp_path / f"splits/wave_test_split{split}.txt").write_text(f"c.avi {c} \n")
    return tmp_path


def test_puppet_masks_by_hand(masks):
    boxes, size = mask_boxes(masks / "masks/run/a.b/puppet_mask.mat")
    assert size == (20, 30)
    assert boxes[[0, 2]].tolist() == [[7, 5, 11, 8], [4, 3, 29, 19]]
    assert np.isnan(boxes[1]).all()
    issues = AnnotationIssues()
    truth = read_puppet_masks(masks / "masks", masks / "splits", issues)
    assert truth.labels == ("run", "wave")
    assert truth.videos.tolist() == ["run/a.b", "wave/c"]
    assert truth.nframes.tolist() == [3, 3]
    assert truth.tubes.start.tolist() == [1, 3, 1, 3]
    assert truth.train == [["run/a.b", "wave/c"], []]
    assert truth.test == [[], ["run/a.b", "wave/c"]]
    assert issues.unannotated == ["run/b"]
    assert issues.dropped == {"run/a.b": 1, "wave/c": 1}


def test_mask_that_crashes_its_reader_is_left_out(masks, monkeypatch):
    path = masks / "masks" / "run" / "a.b" / "puppet_mask.mat"
    path.write_bytes(b"crash")
    crash = "import os, sys; n = bytes.fromhex(sys.stdin.readline()); b'run' in n and os.abort()"
    monkeypatch.setattr("pcsc_d2.datasets.matlab._PROBE", f"{crash}; print('fine')")
    issues = AnnotationIssues()
    truth = read_puppet_masks(masks / "masks", masks / "splits", issues)
    assert truth.videos.tolist() == ["wave/c"]
    assert list(issues.unreadable) == ["run/a.b"]
    assert "it is damaged, reading it crashes" in issues.unreadable["run/a.b"]


def test_masks_that_are_not_there_are_named(masks):
    with pytest.raises(FileNotFoundError, match=r"no <class>/<video>/puppet_mask\.mat"):
        read_puppet_masks(masks / "splits", masks / "splits")
    with pytest.raises(FileNotFoundError, match="no <class>_test_split"):
        read_puppet_masks(masks / "masks", masks / "masks")
    scipy.io.savemat(masks / "x.mat", {"mask": 1})
    with pytest.raises(ValueError, match=r"x\.mat: expected 'part_mask'"):
        mask_boxes(masks / "x.mat")


def test_real_ucf101_24(real_data, tmp_path):
    folder = real_data / "ucf24/annotations"
    issues = AnnotationIssues()
    truth = read_annotations(folder / "pyannot.pkl", folder / "testlist01.txt", issues)
    assert len(truth.labels) == 24
    assert len(truth.videos) == 3194
    test = truth.split(1, "test")
    assert (len(test.videos), int(test.nframes.sum())) == (910, 159_289)
    assert issues == AnnotationIssues()
    assert_same(truth, read_annotations(folder / "finalAnnots.mat", folder / "testlist01.txt"))
    truth.save(tmp_path / "act.pkl")
    assert_same(truth, read_annotations(tmp_path / "act.pkl"))
    groups = {name: int(name.split("_g")[1][:2]) for name in truth.videos.tolist()}
    assert {groups[name] for name in truth.test[0]} == set(range(1, 8))
    assert min(groups[name] for name in truth.train[0]) == 8


def test_real_video_without_annotation_is_reported(real_data, tmp_path):
    listed = tmp_path / "testlist.txt"
    listed.write_text("Diving/v_Diving_g19_c02.avi\nDiving/v_Diving_g01_c01.avi\n")
    issues = AnnotationIssues()
    truth = read_annotations(real_data / "ucf24/annotations/pyannot.pkl", listed, issues)
    assert issues.unannotated == ["Diving/v_Diving_g19_c02"]
    assert truth.test == [["Diving/v_Diving_g01_c01"]]


def test_real_puppet_masks_give_the_boxes_of_the_pickle(real_data):
    masks = read_puppet_masks(real_data / "jhmdb/original/puppet_mask", real_data / "jhmdb/splits")
    truth = read_annotations(real_data / "jhmdb/annotations/JHMDB-GT.pkl").select(masks.videos)
    assert len(masks.videos) == 21
    assert_same(masks, truth)


def test_cut_off_pickle_is_refused(tmp_path, pyannot):
    path = dump(tmp_path / "a.pkl", pyannot)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"a\.pkl: cannot be read as a pickle"):
        read_annotations(path)
    path.write_bytes(zlib.compress(b"x"))
    with pytest.raises(ValueError, match=r"a\.pkl: cannot be read as a pickle"):
        read_annotations(path)


def test_file_that_crashes_its_reader_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    path.touch()
    crash = "import os; os.kill(os.getpid(), 9)"
    monkeypatch.setattr("pcsc_d2.datasets.matlab._PROBE", crash)
    with pytest.raises(ValueError, match=r"a\.mat: it is damaged, reading it crashes"):
        read_annotations(path)
