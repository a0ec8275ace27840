from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from pcsc_d2.cli import main
from pcsc_d2.datasets.annotations import read_annotations
from pcsc_d2.datasets.check import check_dataset
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.datasets.prepare import prepare
from pcsc_d2.datasets.sources import find_sources
from pcsc_d2.tubes import GroundTruth

NAMES = ["run/a", "run/b.c", "wave/d"]


@pytest.fixture
def original(tmp_path, encode, gray) -> Path:
    """J-HMDB as it is distributed: three videos of 4 frames, their masks and split lists."""
    folder = tmp_path / "distributed"
    for i, name in enumerate(NAMES):
        video = folder / "JHMDB_video" / f"{name}.avi"
        mask = folder / "puppet_mask" / name / "puppet_mask.mat"
        for path in (video, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        encode(video, gray(4), "mpeg4")
        masks = np.zeros((48, 64, 4), np.uint8)
        masks[10:20, 5 + i : 30] = 1
        scipy.io.savemat(mask, {"part_mask": masks})
    for kind in ("splits", "sub_splits"):
        (folder / kind).mkdir()
        (folder / kind / "wave_test_split1.txt").write_text("d.avi 2\n")
    (folder / "splits/run_test_split1.txt").write_text("a.avi 1\nb.c.avi 2\n")
    (folder / "sub_splits/run_test_split1.txt").write_text("a.avi 2\n")
    return folder


@pytest.fixture
def frames(tmp_path, original) -> Path:
    """The same as ACT-detector and MOC-detector distribute it: frames, flow and a pickle."""
    folder = tmp_path / "act"
    for name in NAMES:
        for kind, suffix in (("Frames", "png"), ("FlowBrox04", "jpg")):
            (folder / kind / name).mkdir(parents=True)
            for i in range(1, 5):
                image = np.full((48, 64, 3), 128, np.uint8)
                cv2.imwrite(str(folder / kind / name / f"{i:05d}.{suffix}"), image)
    prepare([original], tmp_path / "other", "jhmdb")
    (tmp_path / "other/jhmdb/annotations/JHMDB-GT.pkl").rename(folder / "JHMDB-GT.pkl")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in sorted(folder.rglob("*")):
            file.write(member, f"{folder.name}/{member.relative_to(folder).as_posix()}")
    return path


def test_original_layout(original, tmp_path):
    root = tmp_path / "root"
    report = prepare([original / "sub_splits", original], root, "jhmdb")
    assert (report.linked, report.present, report.missing) == (3, 0, [])
    for name in NAMES:
        made = root / "jhmdb/videos" / f"{name}.avi"
        assert made.is_symlink()
        assert made.resolve() == (original / "JHMDB_video" / f"{name}.avi").resolve()
    truth = GroundTruth.load(root / "jhmdb/annotations/JHMDB-GT.pkl")
    assert truth.videos.tolist() == NAMES
    assert (truth.train, truth.test) == ([["run/a"]], [["run/b.c", "wave/d"]])
    assert truth.tubes.boxes[::4].tolist() == [[5, 10, 29, 19], [6, 10, 29, 19], [7, 10, 29, 19]]
    assert check_dataset(root, dataset_files("jhmdb")).report.problems == {}


def test_second_run_only_does_what_is_left(original, tmp_path):
    root = tmp_path / "root"
    prepare([original], root, "jhmdb")
    pickled = root / "jhmdb/annotations/JHMDB-GT.pkl"
    before = pickled.stat().st_mtime_ns
    (root / "jhmdb/videos/run/a.avi").unlink()
    broken = root / "jhmdb/videos/wave/d.avi"
    broken.unlink()
    broken.symlink_to(tmp_path / "gone.avi")
    report = prepare([original], root, "jhmdb")
    assert (report.linked, report.present) == (2, 1)
    assert broken.exists()
    assert pickled.stat().st_mtime_ns == before
    assert not list(root.rglob(".*"))


def test_more_masks_later_make_the_pickle_again(original, tmp_path):
    masks = tmp_path / "later"
    (original / "puppet_mask/wave").rename(masks)
    assert prepare([original], tmp_path / "root", "jhmdb").linked == 2
    masks.rename(original / "puppet_mask/wave")
    report = prepare([original], tmp_path / "root", "jhmdb")
    assert (report.linked, report.present) == (1, 2)


def test_files_proper_are_left_alone(original, tmp_path):
    own = tmp_path / "root/jhmdb/videos/run/a.mp4"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own")
    report = prepare([original], tmp_path / "root", "jhmdb")
    assert (report.linked, report.present) == (2, 1)
    assert [p.name for p in own.parent.glob("a.*")] == ["a.mp4"]


def test_frames_and_flow_of_act_and_moc(frames, tmp_path):
    root = tmp_path / "root"
    report = prepare([frames], root, "jhmdb", flow="brox")
    assert report.linked == 3
    assert report.notes == [
        "flow of 3 videos computed, 0 were there already, 0 failed",
        "train with it: INPUT.FLOW.METHOD brox",
    ]
    assert (root / "jhmdb/videos/run/b.c").is_symlink()
    assert (root / "flow/brox/jhmdb/run/b.c.zip").is_file()
    assert check_dataset(root, dataset_files("jhmdb")).report.problems == {}
    assert prepare([frames], root, "jhmdb").notes[0].endswith("--flow <name> converts it")
    with pytest.raises(ValueError, match="cannot be named 'dis'"):
        prepare([frames], root, "jhmdb", flow="dis")


def test_flow_that_does_not_fit_its_clip_is_said(frames, tmp_path, capsys):
    (frames / "FlowBrox04/run/a/00001.jpg").unlink()
    (frames / "FlowBrox04/run/a/00002.jpg").unlink()
    words = [str(frames), "--root", str(tmp_path / "root"), "--flow", "brox"]
    assert main(["prepare", "jhmdb", *words]) == 1
    told = capsys.readouterr()
    assert "flow of 2 videos computed, 0 were there already, 1 failed" in told.out
    assert "run/a: 2 fields for a video of 4 frames" in told.err


def test_video_instead_of_frames_takes_their_place(frames, original, tmp_path):
    root = tmp_path / "root"
    prepare([frames], root, "jhmdb")
    assert prepare([original / "JHMDB_video"], root, "jhmdb").linked == 3
    assert sorted(p.name for p in (root / "jhmdb/videos/run").iterdir()) == ["a.avi", "b.c.avi"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives(original, tmp_path, kind):
    root = tmp_path / "root"
    archives = []
    for name in ("JHMDB_video", "puppet_mask", "splits"):
        path = tmp_path / f"{name}.{kind}"
        if kind == "zip":
            zipped(original / name, path)
        else:
            with tarfile.open(path, "w:gz") as file:
                file.add(original / name, name)
        archives.append(path)
    assert prepare(archives, root, "jhmdb", processes=2).linked == 3
    made = root / "jhmdb/videos/run/a.avi"
    assert made.readlink().parts[:3] == ("..", "..", "..")  # so that the root can be moved
    root.rename(tmp_path / "moved")
    assert (tmp_path / "moved/jhmdb/videos/run/a.avi").exists()


def test_unpacking_goes_on_where_it_stopped(original, tmp_path):
    archive = zipped(original / "JHMDB_video", tmp_path / "v.zip")
    found = find_sources([archive], tmp_path / "u")
    kept, lost = found.clips["run/a"], found.clips["wave/d"]
    before = kept.stat().st_mtime_ns
    (tmp_path / "u/v.zip/.complete").unlink()
    lost.write_bytes(b"half")
    find_sources([archive], tmp_path / "u")
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == (original / "JHMDB_video/wave/d.avi").read_bytes()


def hostile_zip(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good/a.avi", b"good")
        file.writestr(name, b"evil")
    return path


def hostile_tar(path: Path, info: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as file:
        if info.isreg():
            info.size = 4
        file.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize(
    "name", ["../evil.avi", "a/../../../evil.avi", "/evil.avi", "..\\evil.avi"]
)
def test_member_that_leaves_the_folder_is_refused(tmp_path, name):
    archives = [
        hostile_zip(tmp_path / "x.zip", name),
        hostile_tar(tmp_path / "x.tar", tarfile.TarInfo(name)),
    ]
    for archive in archives:
        with pytest.raises(ValueError, match="leaves the folder; the archive is refused"):
            find_sources([archive], tmp_path / "root" / "unpacked")
    assert [p for p in tmp_path.rglob("*.avi") if p.is_file()] == []


def test_links_and_damaged_and_foreign_archives_are_refused(tmp_path, original):
    link = tarfile.TarInfo("a/b.avi")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    whole = zipped(original / "JHMDB_video", tmp_path / "v.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08")
    (tmp_path / "UCF101.rar").write_bytes(b"Rar!")
    for archive, reason in (
        (hostile_tar(tmp_path / "l.tar", link), "is a link or device"),
        (tmp_path / "cut.zip", "damaged or encrypted"),
        (tmp_path / "cut.tar.gz", "damaged or encrypted"),
        (tmp_path / "UCF101.rar", "unpack it"),
    ):
        with pytest.raises(ValueError, match=reason):
            find_sources([archive], tmp_path / "root")


def test_ucf_needs_its_test_list(tmp_path, encode, gray, capsys):
    source, root = tmp_path / "UCF-101", tmp_path / "root"
    for name in ("Dive/v_a", "PlayingCello/v_b"):
        (source / name).parent.mkdir(parents=True)
        encode(source / f"{name}.avi", gray(4, (240, 320)), "mpeg4")
    boxes = np.array([[20, 10, 100, 29]] * 4, np.uint8)
    video = {"numf": 4, "label": 0, "annotations": [{"label": 0, "sf": 0, "ef": 4, "boxes": boxes}]}
    annotations = tmp_path / "pyannot.pkl"
    annotations.write_bytes(pickle.dumps({"Dive/v_a": video}, 2))
    with pytest.raises(FileNotFoundError, match=r"no testlist01\.txt"):
        prepare([source, annotations], root, "ucf24")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "testlist01.txt").write_text("Dive/v_a.avi\nPlayingCello/v_b.avi\n")
    arguments = [str(p) for p in (source, annotations, lists, "--root", root)]
    assert main(["prepare", "ucf101_24", *arguments]) == 0
    assert "1 clips linked" in capsys.readouterr().out
    assert [p.name for p in (root / "ucf24/videos").iterdir()] == ["Dive"]
    assert check_dataset(root, dataset_files("ucf24")).report.problems == {}


def test_command_says_what_is_missing(original, tmp_path, capsys):
    root = str(tmp_path / "root")
    assert main(["prepare", "jhmdb", str(tmp_path / "none"), "--root", root]) == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert main(["prepare", "jhmdb", str(original / "JHMDB_video"), "--root", root]) == 2
    assert "add JHMDB-GT.pkl, or puppet_mask together with splits" in capsys.readouterr().err
    (original / "JHMDB_video/wave/d.avi").unlink()
    assert main(["prepare", "jhmdb", str(original), "--root", root]) == 1
    assert "1 annotated clips were not found (the first is wave/d)" in capsys.readouterr().out


def test_picture_beside_videos_hides_none(original):
    (original / "JHMDB_video/run/thumb.jpg").touch()
    assert sorted(find_sources([original], original / "u").clips) == NAMES


def test_flow_is_told_from_frames(tmp_path):
    data = tmp_path / "data"
    for name in ("rgb-images/run/a/1.jpg", "brox-images/run/a/1.jpg", "rgb-images/thumb.jpg"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    found = find_sources([data], tmp_path / "u")
    assert found.clips == {"run/a": data / "rgb-images/run/a"}
    assert found.flow == data / "brox-images"
    for name in ("tvl1/run/a/u/1.jpg", "TVL1-images/run/a/1.jpg", "other/run/a/1.flo"):
        folder = data / name.split("/")[0]
        (data / name).parent.mkdir(parents=True)
        (data / name).touch()
        assert find_sources([folder], tmp_path / "u").flow == folder


def test_links_in_a_circle_end(original):
    (original / "again").symlink_to(original, target_is_directory=True)
    assert sorted(find_sources([original], original / "u").clips) == NAMES


def test_real_original_layout(real_data, tmp_path):
    folder = real_data / "jhmdb/original"
    sources = [folder / "JHMDB_video", folder / "puppet_mask", real_data / "jhmdb/splits"]
    assert prepare(sources, tmp_path, "jhmdb").linked == 21
    made = GroundTruth.load(tmp_path / "jhmdb/annotations/JHMDB-GT.pkl")
    given = read_annotations(real_data / "jhmdb/annotations/JHMDB-GT.pkl").select(made.videos)
    assert np.array_equal(made.tubes.ptr, given.tubes.ptr)
    assert np.abs(made.tubes.boxes - given.tubes.boxes).max() <= 1
    found = check_dataset(tmp_path, dataset_files("jhmdb"), threads=1).report.problems
    assert {kind: len(names) for kind, names in found.items()} == {"unannotated": 907}


def test_real_folder_layout(real_data, tmp_path):
    report = prepare([real_data / "ucf24"], tmp_path, "ucf24")
    assert (report.linked, len(report.missing)) == (69, 3125)
    assert prepare([real_data / "ucf24"], tmp_path, "ucf24").present == 69
