from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.datasets.check import check_dataset
from pcsc_d2.datasets.check_pictures import draw_clips
from pcsc_d2.datasets.layout import dataset_files, datasets_under
from pcsc_d2.flow.codec import write_flow_file
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.video.files import find_video

JHMDB = dataset_files("jhmdb")
UCF = dataset_files("ucf24")
NAMES = ["run/a", "run/b", "wave/c"]


def jhmdb_truth(different: dict[str, list[list[float]]] | None = None) -> GroundTruth:
    """Three videos of 6 frames of 48 x 64, a tube each over all frames."""
    usual = [[10, 5, 30, 40]] * 6
    rows = [np.float32((different or {}).get(name, usual)) for name in NAMES]
    videos, labels = np.array(NAMES), ("run", "wave")
    ptr = np.cumsum([0, *map(len, rows)])
    ones, boxes = np.ones(ptr[-1], np.float32), np.concatenate(rows)
    tubes = Tubes(
        videos, np.array(labels), [0, 1, 2], [0, 0, 1], ones[:3], [1] * 3, ptr, boxes, ones
    )  # fmt: skip
    sizes = [[48, 64]] * 3
    return GroundTruth(labels, videos, [6] * 3, sizes, tubes, [NAMES[:2]], [NAMES[2:]])


@pytest.fixture
def jhmdb(tmp_path, encode, gray) -> Path:
    """A root with a J-HMDB that has nothing wrong."""
    folder = tmp_path / "jhmdb"
    for name in NAMES:
        path = folder / "videos" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, gray(6))
    jhmdb_truth().save(folder / "annotations" / "JHMDB-GT.pkl")
    return tmp_path


def save(root: Path, truth: GroundTruth) -> None:
    truth.save(root / "jhmdb" / "annotations" / "JHMDB-GT.pkl")


def problems(root: Path, **options) -> dict[str, dict[str, str]]:
    return check_dataset(root, JHMDB, **options).report.problems


@pytest.fixture
def ucf(tmp_path, encode, gray) -> Path:
    """A root with a UCF101-24 of one video, whose encoder left out frames 3 and 4."""
    folder = tmp_path / "ucf24"
    (folder / "videos" / "Dive").mkdir(parents=True)
    encode(folder / "videos/Dive/v_a.avi", gray(4, (240, 320)), "mpeg4", times=[0, 1, 4, 5])
    tube = {"label": 0, "sf": np.uint8(0), "ef": np.uint8(6)}
    tube["boxes"] = np.array([[200, 10, 100, 29]] * 6, np.uint8)
    video = {"numf": np.uint8(6), "label": 0, "annotations": [tube]}
    (folder / "annotations").mkdir()
    (folder / "annotations/pyannot.pkl").write_bytes(pickle.dumps({"Dive/v_a": video}, 2))
    (folder / "annotations/testlist01.txt").write_text("Dive/v_a.avi\n")
    return tmp_path


def test_nothing_wrong(jhmdb):
    checked = check_dataset(jhmdb, JHMDB, threads=2)
    assert checked.report.problems == {}
    assert checked.report.table().endswith("no problems")
    counts = checked.report.counts
    assert (counts["clips"], counts["frames"], counts["boxes"]) == (3, 18, 18)
    assert (counts["split 1 train clips"], counts["split 1 test clips"]) == (2, 1)
    assert list(checked.paths) == NAMES


@pytest.mark.parametrize("decode", [True, False])
def test_missing_and_unreadable_videos_and_empty_classes(jhmdb, decode):
    videos = jhmdb / "jhmdb/videos"
    (videos / "wave/c.mp4").unlink()
    (videos / "run/a.mp4").write_bytes(b"no video")
    found = problems(jhmdb, decode=decode)
    assert set(found) == {"missing", "unreadable", "empty_class"}
    assert set(found["missing"]) == {"wave/c"}
    assert "a.mp4: cannot be opened as a video" in found["unreadable"]["run/a"]
    assert set(found["empty_class"]) == {"wave"}


def test_no_video_at_all_is_reported(jhmdb):
    shutil.rmtree(jhmdb / "jhmdb/videos")
    assert set(problems(jhmdb)) == {"missing", "empty_class"}


def test_frame_broken_inside_is_found_by_decoding(jhmdb):
    (jhmdb / "jhmdb/videos/run/a.mp4").unlink()
    folder = jhmdb / "jhmdb/videos/run/a"
    folder.mkdir()
    for i in range(1, 6):
        shutil.copy(_image(jhmdb), folder / f"{i:05d}.png")
    (folder / "00006.png").write_bytes(b"cut off")
    assert problems(jhmdb, decode=False) == {}
    assert "00006.png: the frame cannot be read" in problems(jhmdb)["unreadable"]["run/a"]


def _image(folder: Path) -> Path:
    cv2.imwrite(str(folder / "image.png"), np.zeros((48, 64, 3), np.uint8))
    return folder / "image.png"


def test_clip_one_frame_short(jhmdb, encode, gray):
    encode(jhmdb / "jhmdb/videos/run/a.mp4", gray(5))
    found = problems(jhmdb)
    counts = "6 annotated; 5 coded, 5 at the constant frame rate"
    assert found == {"frames": {"run/a": counts}, "beyond": {"run/a": "1 boxes"}}


def test_odd_clips_get_a_line_each(jhmdb, encode, gray):
    videos = jhmdb / "jhmdb/videos"
    (videos / "run/a.mp4").write_bytes(b"")
    encode(videos / "run/b.mp4", gray(1))
    (videos / "wave/c.mp4").unlink()
    folder = videos / "wave/c"
    folder.mkdir()
    huge = np.frombuffer(_image(jhmdb).read_bytes(), np.uint8).copy()
    huge[16:24] = [0, 1, 0, 0] * 2  # the header promises 65,536 x 65,536 pixels
    (folder / "1.png").write_bytes(_image(jhmdb).read_bytes())
    (folder / "2.png").write_bytes(huge.tobytes())
    found = problems(jhmdb)
    assert "a.mp4: the file is empty" in found["unreadable"]["run/a"]
    assert found["frames"]["run/b"].startswith("6 annotated; 1 coded")
    assert "2.png: the frame cannot be read" in found["unreadable"]["wave/c"]
    cv2.imwrite(str(folder / "2.png"), np.zeros((40, 64, 3), np.uint8))
    assert "2.png: is of another size" in problems(jhmdb)["unreadable"]["wave/c"]


def test_both_rules_where_frames_are_not_coded(jhmdb, encode, gray):
    encode(jhmdb / "jhmdb/videos/run/b.mp4", gray(6), times=[0, 1, 2, 5, 6, 7])
    checked = check_dataset(jhmdb, JHMDB)
    assert checked.report.problems == {}
    assert "1 clips have fewer or more coded frames" in checked.report.notes[0]
    assert "run/b: 6 and 8" in checked.report.notes[0]
    encode(jhmdb / "jhmdb/videos/run/b.mp4", gray(5), times=[0, 1, 2, 3, 5])
    counts = "6 annotated; 5 coded, 6 at the constant frame rate"
    assert problems(jhmdb)["frames"] == {"run/b": counts}


def test_ucf_is_counted_at_the_constant_rate_and_small_integers_do_not_wrap(ucf):
    checked = check_dataset(ucf, UCF)
    assert checked.report.problems == {}
    assert "Dive/v_a: 4 and 6" in checked.report.notes[0]
    # 200 + 100 in the uint8 of the file would be 44, and the box inverted
    assert checked.truth.tubes.boxes[0].tolist() == [199, 9, 299, 38]


def test_lists_that_name_more_than_is_annotated_and_clips_without_truth(ucf):
    (ucf / "ucf24/annotations/testlist01.txt").write_text("Dive/v_a\nDive/v_b\nDive/v_c\nCello/v\n")
    shutil.copy(ucf / "ucf24/videos/Dive/v_a.avi", ucf / "ucf24/videos/Dive/v_b.avi")
    found = check_dataset(ucf, UCF).report.problems
    assert set(found["unannotated"]) == {"Dive/v_b", "Dive/v_c"}
    assert found["no_tubes"] == {"Dive/v_b": "not annotated"}


def test_jhmdb_lists_are_read_where_they_are(jhmdb):
    (jhmdb / "jhmdb/splits").mkdir()
    (jhmdb / "jhmdb/splits/run_test_split1.txt").write_text("a.avi 1\nb.avi 1\nx.avi 2\n")
    assert set(problems(jhmdb)) == {"unannotated"}
    assert set(problems(jhmdb)["unannotated"]) == {"run/x"}


def test_boxes_outside_the_image(jhmdb):
    outside = [[10, 5, 64, 40]] * 2 + [[10, 5, 63, 40]] * 4
    save(jhmdb, jhmdb_truth({"run/a": outside}))
    assert problems(jhmdb) == {"clipped": {"run/a": "2 boxes"}}


def test_inverted_and_outside_boxes_and_tubes_beyond_the_end(ucf):
    path = ucf / "ucf24/annotations/pyannot.pkl"
    video = {"numf": 6, "label": 0}
    boxes = np.array([[20, 10, 30, 30]] * 5 + [[20, 10, -5, 30], [400, 10, 9, 9]], np.int16)
    video["annotations"] = [{"label": 0, "sf": 0, "ef": 7, "boxes": boxes}]
    path.write_bytes(pickle.dumps({"Dive/v_a": video}, 2))
    assert check_dataset(ucf, UCF).report.problems == {"dropped": {"Dive/v_a": "2 boxes"}}
    video["annotations"] = [{"label": 0, "sf": 3, "ef": 8, "boxes": boxes[:5]}]
    path.write_bytes(pickle.dumps({"Dive/v_a": video}, 2))
    assert check_dataset(ucf, UCF).report.problems == {"beyond": {"Dive/v_a": "2 boxes"}}


def test_tubes_that_break_the_rules_are_left_out_and_named(jhmdb):
    path = jhmdb / "jhmdb/annotations/JHMDB-GT.pkl"
    content = pickle.loads(path.read_bytes())
    content["gttubes"]["wave/c"][1][0][5, 1:] = [30, 5, 10, 40]
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.warns(UserWarning, match=r"JHMDB-GT.pkl: 1 of .* inverted box .*'wave/c', frame 6"):
        problems(jhmdb)
    content["gttubes"]["wave/c"][1][0][5, 1:] = [10, 5, 30, 40]
    content["nframes"]["wave/c"] = 4
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(ValueError, match="'wave/c' has 4 frames, but a tube ends at frame 6"):
        problems(jhmdb)


def test_flow_missing_and_wrong(jhmdb):
    store = FlowStore(jhmdb / "flow", "dis_fast")
    videos = jhmdb / "jhmdb/videos"
    for name in NAMES:
        store.make(videos / f"{name}.mp4", f"jhmdb/{name}", "coded")
    assert problems(jhmdb) == {}
    path = {name: store.path(f"jhmdb/{name}") for name in NAMES}
    meta = {"size": (48, 64), "rule": "coded", "method": "dis_fast"}
    codes = [np.zeros((48, 64, 2), np.uint8)] * 5
    path["run/a"].unlink()
    write_flow_file(path["run/b"], codes[:4], meta)
    write_flow_file(path["wave/c"], [c[:40] for c in codes], {**meta, "size": (40, 64)})
    found = problems(jhmdb)
    assert set(found["flow_missing"]) == {"dis_fast/run/a"}
    assert found["flow_wrong"] == {
        "dis_fast/run/b": "4 fields for a clip of 6 frames; remove it",
        "dis_fast/wave/c": "40 x 64 pixels, the clip has 48 x 64; remove it",
    }
    write_flow_file(path["run/b"], codes, {**meta, "method": "dis"})
    assert "of the method 'dis'" in problems(jhmdb)["flow_wrong"]["dis_fast/run/b"]
    write_flow_file(path["run/b"], codes, {**meta, "rule": "constant_rate"})
    path["wave/c"].write_bytes(b"PK")
    found = problems(jhmdb)["flow_wrong"]
    assert "by the rule 'constant_rate'" in found["dis_fast/run/b"]
    assert "damaged" in found["dis_fast/wave/c"]


def run(*arguments: object) -> int:
    return main(["check", *(str(a) for a in arguments)])


def test_command_gives_status_json_and_pictures(jhmdb, capsys):
    out = jhmdb / "out"
    assert run("--root", jhmdb, "--show", 2, "--out", out, "--json", jhmdb / "r.json") == 0
    assert {p.name for p in out.iterdir()} == {
        "jhmdb_sheet.png", "jhmdb_run_a.mp4", "jhmdb_wave_c.mp4",
    }  # fmt: skip
    assert json.loads((jhmdb / "r.json").read_text())["jhmdb"]["counts"]["clips"] == 3
    (jhmdb / "jhmdb/videos/run/a.mp4").unlink()
    assert run("--root", jhmdb, "--dataset", "jhmdb", "--quick") == 1
    assert run("--root", jhmdb, "--allow", "missing") == 0
    assert "run/a: neither a file nor a folder" in capsys.readouterr().out


def test_command_that_cannot_check(jhmdb, capsys):
    assert run("--root", jhmdb / "empty") == 2
    assert run("--root", jhmdb, "--dataset", "kinetics") == 2
    assert "unknown dataset 'kinetics'" in capsys.readouterr().err
    (jhmdb / "jhmdb/annotations/JHMDB-GT.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert run("--root", jhmdb) == 2
    assert "it asks for os.system" in capsys.readouterr().err


def test_names_with_dots_and_every_kind_of_video_are_found(tmp_path):
    (tmp_path / "a.b.mp4").touch()
    (tmp_path / "c.d").mkdir()
    assert find_video(tmp_path, "a.b").name == "a.b.mp4"
    assert find_video(tmp_path, "c.d").name == "c.d"
    assert find_video(tmp_path, "a") is None


def test_datasets_under_a_root(jhmdb):
    (jhmdb / "synthetic/easy").mkdir(parents=True)
    assert datasets_under(jhmdb) == ["jhmdb"]
    (jhmdb / "synthetic/easy/annotations.pkl").touch()
    assert datasets_under(jhmdb) == ["jhmdb", "synthetic/easy"]


def test_real_clips(real_data, tmp_path):
    checked = check_dataset(real_data, UCF, tmp_path, decode=False)
    report = checked.report
    assert set(report.problems) == {"missing", "empty_class"}
    assert report.counts["clips"] == 69
    assert report.counts["split 1 test clips"] == 24
    assert report.notes[0].startswith("3 clips have fewer or more coded frames")
    written = draw_clips(checked, UCF, 1, tmp_path / "out", tmp_path)
    assert [p.suffix for p in written] == [".mp4", ".png"]
