"""The traps of the real datasets: copies broken in each way, told by the check."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.datasets.annotations import read_annotations
from pcsc_d2.datasets.check import check_dataset
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.utils.pickles import restricted_load
from pcsc_d2.video import VideoSource, write_video

# The encoder left 6 frames of this one out.
GAPS = "Basketball/v_Basketball_g18_c03"
DIVING = "Diving/v_Diving_g02_c01"
BARE = "Diving/v_Diving_g19_c02"
SHORT = "stand/BIG_FISH_stand_u_nm_np1_fr_med_27"


class Broken:
    """A root with links to some real clips, whose annotations are copies that can be changed."""

    def __init__(self, data: Path, root: Path, dataset: str, names: list[str]) -> None:
        self.root, self.dataset, self.names = root, dataset, names
        self.data, self.folder = data / dataset, root / dataset
        (self.folder / "annotations").mkdir(parents=True)
        for name in names:
            self.link(name)
        if dataset == "ucf24":
            known = restricted_load(self.data / "annotations/pyannot.pkl")
            classes = sorted({name.split("/")[0] for name in names})
            for name in names:
                for tube in known[name]["annotations"]:
                    tube["label"] = classes.index(name.split("/")[0])
            self.annotate({name: known[name] for name in names})
            self.list([names[0]])
        else:
            truth = read_annotations(self.data / "annotations/JHMDB-GT.pkl").select(names)
            truth.save(self.folder / "annotations/JHMDB-GT.pkl")

    def link(self, name: str) -> None:
        untouched = [*(self.data / "original/JHMDB_video").glob(f"{name}.*")]
        source = [*untouched, *(self.data / "videos").glob(f"{name}.*")][0]
        target = self.folder / "videos" / f"{name}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)

    def annotate(self, videos: dict) -> None:
        self.videos = videos
        path = self.folder / "annotations/pyannot.pkl"
        path.write_bytes(pickle.dumps(videos, protocol=2))

    def list(self, names: list[str]) -> None:
        path = self.folder / "annotations/testlist01.txt"
        path.write_text("".join(f"{name}.avi\n" for name in names))

    def video(self, name: str) -> Path:
        return next((self.folder / "videos").glob(f"{name}.*"))

    def problems(self) -> dict[str, dict[str, str]]:
        files = dataset_files(self.dataset)
        found = check_dataset(self.root, files, decode=False).report.problems
        # The annotations of a few clips still name all classes of J-HMDB.
        return {kind: where for kind, where in found.items() if kind != "empty_class"}


@pytest.fixture
def ucf(real_data: Path, tmp_path: Path) -> Broken:
    return Broken(real_data, tmp_path, "ucf24", [GAPS, DIVING])


@pytest.fixture
def jhmdb(real_data: Path, tmp_path: Path) -> Broken:
    (untouched,) = (real_data / "jhmdb/original/JHMDB_video/run").glob("*.avi")
    return Broken(real_data, tmp_path, "jhmdb", [f"run/{untouched.stem}", SHORT])


def test_whole_copies_have_no_problem_but_the_published_one(ucf: Broken, jhmdb: Broken):
    assert ucf.problems() == {}
    assert jhmdb.problems() == {
        "frames": {SHORT: "36 annotated; 35 coded, 35 at the constant frame rate"},
        "beyond": {SHORT: "1 boxes"},
    }


def test_small_integers_that_wrapped(ucf: Broken):
    """x + w computed in the file's uint8, and stored as a width again."""
    for video in ucf.videos.values():
        for tube in video["annotations"]:
            x, y, w, h = np.asarray(tube["boxes"]).astype(np.int32).T
            tube["boxes"] = np.stack([x, y, (x + w) % 256 - x, h], 1).astype(np.int16)
    ucf.annotate(ucf.videos)
    assert set(ucf.problems()) == {"dropped"}


def test_corners_instead_of_width_and_height(ucf: Broken):
    for video in ucf.videos.values():
        for tube in video["annotations"]:
            boxes = np.asarray(tube["boxes"]).astype(np.int32)
            tube["boxes"] = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    ucf.annotate(ucf.videos)
    assert DIVING in ucf.problems()["clipped"]


def test_frames_counted_from_1_as_in_the_other_file(ucf: Broken):
    """``sf`` and ``ef`` of finalAnnots.mat in the layout of pyannot.pkl: ends do not fit."""
    for video in ucf.videos.values():
        for tube in video["annotations"]:
            tube["sf"] = int(tube["sf"]) + 1
    ucf.annotate(ucf.videos)
    with pytest.raises(ValueError, match=r"pyannot\.pkl: .* boxes for frames"):
        ucf.problems()
    tube = ucf.videos[DIVING]["annotations"][0]
    frames = int(ucf.videos[DIVING]["numf"])
    for video in ucf.videos.values():
        for tube in video["annotations"]:
            tube["ef"] = int(tube["ef"]) + 1
    tube = ucf.videos[DIVING]["annotations"][0]
    late = frames + 1 - int(tube["ef"])  # so that it would have ended with the video
    tube["sf"], tube["ef"] = int(tube["sf"]) + late, int(tube["ef"]) + late
    ucf.annotate(ucf.videos)
    assert ucf.problems() == {"beyond": {DIVING: "1 boxes"}}


@pytest.mark.parametrize("rule", ["coded", "constant_rate"])
def test_extracted_frames_are_those_of_the_constant_rate_or_told(ucf: Broken, rule: str):
    path = ucf.video(GAPS)
    frames = list(iter(VideoSource(path, rule)))
    path.unlink()
    folder = path.with_suffix("")
    folder.mkdir()
    for i, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f"{i:05d}.jpg"), frame[..., ::-1])
    found = ucf.problems()
    if rule == "constant_rate":
        assert found == {}
    else:
        text = "180 annotated; 174 coded, 174 at the constant frame rate"
        assert found["frames"] == {GAPS: text}


def test_jhmdb_encoded_again_at_a_constant_rate(jhmdb: Broken):
    name = jhmdb.names[0]
    path = jhmdb.video(name)
    frames = list(iter(VideoSource(path, "constant_rate")))
    coded = len(VideoSource(path, "coded"))
    path.unlink()
    write_video(path.with_suffix(".mp4"), frames, 25)
    assert 3 <= len(frames) - coded <= 8
    text = f"{coded} annotated; {len(frames)} coded, {len(frames)} at the constant frame rate"
    assert jhmdb.problems()["frames"][name] == text


def test_clip_without_ground_truth_and_lists_that_name_more(ucf: Broken):
    """914 listed, 910 annotated."""
    shutil.copy(ucf.video(DIVING), ucf.folder / f"videos/{BARE}.avi")
    ucf.list([GAPS, BARE, "Basketball/v_Basketball_g05_c09"])
    found = ucf.problems()
    assert found["no_tubes"] == {BARE: "not annotated"}
    assert set(found["unannotated"]) == {BARE, "Basketball/v_Basketball_g05_c09"}


def test_clip_of_another_size_has_its_boxes_scaled(ucf: Broken, real_data: Path, tmp_path: Path):
    other = Broken(real_data, tmp_path / "other", "ucf24", ["Fencing/v_Fencing_g01_c06"])
    checked = check_dataset(other.root, dataset_files("ucf24"), decode=False)
    assert checked.report.problems == {}
    assert checked.truth.resolution.tolist() == [[256, 340]]


def test_video_cut_off(ucf: Broken):
    path = ucf.video(DIVING)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    assert f"{path.name}: cannot be decoded" in ucf.problems()["unreadable"][DIVING]


def test_cut_off_pickle(jhmdb: Broken):
    path = jhmdb.folder / "annotations/JHMDB-GT.pkl"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"JHMDB-GT\.pkl: cannot be read as a pickle"):
        jhmdb.problems()
