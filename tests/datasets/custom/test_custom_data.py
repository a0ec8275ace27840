"""One's own annotation files: the three formats, and what is wrong with them."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.datasets.check import check_dataset
from pcsc_d2.datasets.custom.description import Description
from pcsc_d2.datasets.custom.read import all_datasets, any_files, custom_files
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.tubes import GroundTruth

HEADER = "video,frame,track,label,x1,y1,x2,y2\n"


@pytest.fixture
def root(tmp_path, encode, gray) -> Path:
    """A dataset "mine" with the videos a and more/b of 20 and 12 frames, 48 x 64."""
    folder = tmp_path / "mine"
    (folder / "videos" / "more").mkdir(parents=True)
    encode(folder / "videos" / "a.mp4", gray(20))
    encode(folder / "videos" / "more" / "b.avi", gray(12), "mpeg4")
    describe(tmp_path)
    return tmp_path


def describe(root: Path, **keys: object) -> None:
    (root / "mine" / "dataset.json").write_text(json.dumps(keys))


def read(
    root: Path, name: str, content: str, **keys: object
) -> tuple[GroundTruth, AnnotationIssues]:
    """The dataset with an annotation file of this name and content."""
    path = root / "mine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    if keys:
        describe(root, **keys)
    issues = AnnotationIssues()
    return custom_files(root, "mine").ground_truth(root, issues), issues


def tubes_of(truth: GroundTruth) -> list[tuple]:
    """(video, label, first frame, boxes) of every tube."""
    t = truth.tubes
    return [
        (
            str(t.videos[t.video[i]]),
            truth.labels[t.classes[i]],
            int(t.start[i]),
            t.boxes[t.ptr[i] : t.ptr[i + 1]].tolist(),
        )
        for i in range(len(t))
    ]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


CSV = HEADER + "a.mp4,3,x,run,1,2,11,22\nmore/b,1,1,jump,0,0,64,48\na,4,x,run,2,2,12,22\n"
TUBES = [
    ("a", "run", 3, [[1, 2, 10, 21], [2, 2, 11, 21]]),
    ("more/b", "jump", 1, [[0, 0, 63, 47]]),
]


def test_csv(root):
    truth, issues = read(root, "annotations.csv", CSV)
    assert tubes_of(truth) == TUBES
    assert truth.labels == ("jump", "run")
    assert truth.nframes.tolist() == [20, 12]
    assert truth.resolution.tolist() == [[48, 64]] * 2
    assert issues.lines() == []


def test_csv_of_sizes_from_frame_0_by_a_spreadsheet(root):
    text = "\ufefflabel, video, frame, track, x, y, w, h, note\nrun,a,2,x,1,2,10,20,\n"
    text += "run,a,3,x,2,2,10,20,hm\njump,more\\b.avi,0,1,0,0,64,48,\n"
    truth, _ = read(root, "annotations.csv", text, first_frame=0, labels=["run", "jump"])
    assert truth.labels == ("run", "jump")
    assert tubes_of(truth) == TUBES


@pytest.mark.parametrize(("max_gap", "starts"), [(1, [1, 5]), (4, [1])])
def test_gaps_are_interpolated_where_that_is_wanted(root, max_gap, starts):
    text = HEADER + "a,1,x,run,0,0,10,10\na,5,x,run,8,4,18,14\n"
    truth, _ = read(root, "annotations.csv", text, max_gap=max_gap)
    assert truth.tubes.start.tolist() == starts
    if max_gap == 4:
        assert truth.tubes.boxes[2].tolist() == [4, 2, 13, 11]


def test_tube_ends_where_the_class_changes(root):
    text = HEADER + "a,1,x,run,0,0,9,9\na,2,x,jump,0,0,9,9\na,3,x,jump,0,0,9,9\n"
    truth, _ = read(root, "annotations.csv", text)
    assert [(t[1], t[2], len(t[3])) for t in tubes_of(truth)] == [("run", 1, 1), ("jump", 2, 2)]


COCO = {
    "categories": [{"id": 9, "name": "run"}, {"id": 2, "name": "jump"}],
    "videos": [
        {"id": 1, "name": "a.mp4"},
        {"id": 5, "file_name": "more/b.avi", "height": 24, "width": 32, "length": 12},
    ],
    "images": [
        {"id": 1, "video_id": 1, "frame_index": 2},
        {"id": 2, "video_id": 1, "frame_id": 3},
        {"id": 3, "video_id": 5, "frame_index": 0},
    ],
    "tracks": [{"id": 7, "category_id": 9, "video_id": 1}],
    "annotations": [
        {"id": 1, "image_id": 1, "track_id": 7, "bbox": [1, 2, 10, 20]},
        {"id": 2, "image_id": 2, "track_id": 7, "category_id": 9, "bbox": [2, 2, 10, 20]},
        {"id": 3, "image_id": 3, "instance_id": 1, "category_id": 2, "bbox": [0, 0, 32, 24]},
    ],
}


def test_coco_of_images(root):
    truth, _ = read(root, "annotations.json", json.dumps(COCO))
    assert truth.labels == ("jump", "run")  # by id
    expected = [TUBES[0], ("more/b", "jump", 1, [[0, 0, 31, 23]])]
    assert tubes_of(truth) == expected
    assert truth.resolution.tolist() == [[48, 64], [24, 32]]
    # The check finds the clip at twice the annotated size, and scales the boxes.
    fitted = check_dataset(root, custom_files(root, "mine")).truth
    assert tubes_of(fitted) == TUBES


def test_coco_of_whole_tracks(root):
    boxes = [None, None, [1, 2, 10, 20], [2, 2, 10, 20], None]
    content = {
        "categories": COCO["categories"],
        "videos": [{"id": 1, "file_names": ["a/1.jpg", "a/2.jpg"], "length": 20}],
        "annotations": [{"id": 3, "video_id": 1, "category_id": 9, "bboxes": boxes}],
    }
    truth, _ = read(root, "annotations.json", json.dumps(content))
    assert tubes_of(truth) == TUBES[:1]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
 <meta><task><id>4</id><name>first task</name><size>20</size>
  <original_size><width>64</width><height>48</height></original_size>
  <source>a.mp4</source></task></meta>
 <track id="0" label="person" source="manual">
  {boxes}
 </track>
</annotations>"""


def box(frame: int, x: float, outside: int = 0, action: str = "run") -> str:
    corners = f'xtl="{x}" ytl="2" xbr="{x + 10}" ybr="22"'
    told = f'<attribute name="action">{action}</attribute>'
    flags = f'outside="{outside}" occluded="0" keyframe="1"'
    return f'<box frame="{frame}" {flags} {corners}>{told}</box>'


def cvat(*boxes: str) -> str:
    return CVAT.format(boxes="\n  ".join(boxes))


def test_cvat_interpolates_between_key_frames_and_ends_outside(root):
    text = cvat(box(2, 1), box(4, 5), box(7, 5, outside=1), box(10, 20), box(11, 21))
    truth, _ = read(root, "annotations.xml", text)
    assert [(t[1], t[2]) for t in tubes_of(truth)] == [("person", 3), ("person", 11)]
    x = [[b[0] for b in t[3]] for t in tubes_of(truth)]
    # Frames 2, 3, 4 (from 0), then still there until it is outside at 7.
    assert x == [[1, 3, 5, 5, 5], [20, 21]]


def test_cvat_class_by_attribute(root):
    text = cvat(box(2, 1), box(3, 1), box(4, 1, action=""), box(6, 1, action="jump"))
    truth, _ = read(root, "annotations.xml", text, label_attribute="action")
    assert [(t[1], t[2], len(t[3])) for t in tubes_of(truth)] == [("run", 3, 2), ("jump", 7, 1)]


def test_cvat_zip_and_the_video_by_the_files_name(root):
    text = cvat(box(0, 1)).replace("a.mp4", "upload_0815.mp4")
    (root / "mine" / "annotations" / "more").mkdir(parents=True)
    with zipfile.ZipFile(root / "mine" / "annotations" / "a.zip", "w") as archive:
        archive.writestr("annotations.xml", text)
    truth = custom_files(root, "mine").ground_truth(root, AnnotationIssues())
    assert tubes_of(truth)[0][:3] == ("a", "person", 1)


def test_cvat_project_with_two_tasks(root):
    task = "<task><id>{0}</id><name>{1}</name><source>{1}</source></task>"
    track = '<track id="{0}" label="run" task_id="{0}">{1}</track>'
    tasks = task.format(0, "a.mp4") + task.format(1, "b.avi").replace("b.avi", "more/b.avi")
    tracks = track.format(1, box(0, 3)) + track.format(0, box(0, 1))
    text = f"<annotations><meta><project><tasks>{tasks}</tasks></project></meta>{tracks}"
    truth, _ = read(root, "annotations.xml", text + "</annotations>")
    assert [(t[0], t[3][0][0]) for t in tubes_of(truth)] == [("a", 1), ("more/b", 3)]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "content", "keys", "message"),
    [
        ("annotations.csv", "video,frame\n", {}, r"csv, line 1: the column 'track' is missing"),
        ("annotations.csv", "", {}, r"line 1: the column 'video' is missing.*found nothing"),
        ("annotations.csv", HEADER + "a,1,x,run,1,2\n", {}, "line 2: fewer values than columns"),
        ("annotations.csv", HEADER + "a,1,x,run,1,2,3,z\n", {}, "line 2: .*'z'"),
        ("annotations.csv", HEADER + "a,1.5,x,run,1,2,3,4\n", {}, "frame 1.5 is no whole number"),
        ("annotations.csv", HEADER + "a,1,x,run,1,2,nan,4\n", {}, "no box of four finite"),
        ("annotations.csv", HEADER + "a,0,x,run,1,2,3,4\n", {}, '"first_frame": 0 meant'),
        ("annotations.csv", HEADER + "a,1,,run,1,2,3,4\n", {}, "must not be empty"),
        ("annotations.csv", HEADER + "../a,1,x,run,1,2,3,4\n", {}, "line 2: '../a' is no name"),
        (
            "annotations.csv",
            HEADER + "a,1,x,rnu,1,2,3,4\n",
            {"labels": ["run", "jump"]},
            "line 2: label 'rnu' is not among the labels of dataset.json; is 'run' meant",
        ),
        ("annotations.json", "{", {}, "cannot be read as JSON"),
        ("annotations.json", '{"videos": []}', {}, "list 'annotations' is missing"),
        (
            "annotations.json",
            json.dumps(COCO | {"images": []}),
            {},
            "annotation 1: 1 is missing, or is an id that nothing has",
        ),
        (
            "annotations.json",
            json.dumps(COCO | {"annotations": [{"id": 4, "image_id": 1, "bbox": [1, 1, 2, 2]}]}),
            {},
            "annotation 4: neither 'track_id' nor 'instance_id'",
        ),
        ("annotations.xml", BOMB + cvat(box(0, 1)).split("?>")[1], {}, "entities or a DTD"),
        ("annotations.xml", "<annotations><track>", {}, "cannot be read as XML"),
        ("annotations.xml", "<a><track id='0'/></a>", {}, "not exported from CVAT"),
        ("annotations.xml", "<annotations><image/></annotations>", {}, "CVAT for video 1.1"),
        ("annotations.xml", cvat('<polygon frame="1"/>'), {}, "track 0: holds shapes"),
        ("annotations.xml", cvat('<box frame="1"/>'), {}, "track 0: a box is not as expected"),
        ("annotations.zip", "no zip", {}, "no zip that holds annotations.xml"),
    ],
)
def test_what_cannot_be_understood_is_one_line_with_its_place(root, name, content, keys, message):
    with pytest.raises(ValueError, match=message) as error:
        read(root, name, content, **keys)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lables": []}, "unknown key 'lables'"),
        ({"decoding": "fast"}, "decoding 'fast'"),
        ({"first_frame": 2}, "first_frame 2"),
        ({"max_gap": 0}, "max_gap 0"),
        ({"labels": ["a", "a"]}, "labels: a name is there twice"),
    ],
)
def test_description_that_cannot_be(root, keys, message):
    with pytest.raises(ValueError, match=rf"dataset\.json: .*{message}"):
        read(root, "annotations.csv", CSV, **keys)
    (root / "mine" / "dataset.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"dataset\.json: "):
        custom_files(root, "mine")


def test_impossible_boxes_are_left_out_counted_and_the_first_is_named(root, caplog):
    text = HEADER + "a,1,x,run,30,2,20,9\na,2,x,run,5,5,5,9\na,3,x,run,64,2,70,9\n"
    text += "a,21,x,run,1,1,9,9\na,4,x,run,60,40,70,60\nc,1,x,run,1,1,9,9\n"
    truth, issues = read(root, "annotations.csv", text)
    assert tubes_of(truth) == [("a", "run", 4, [[60, 40, 63, 47]]), ("c", "run", 1, [[1, 1, 8, 8]])]
    assert issues.dropped == {"a": 3}
    assert issues.beyond == {"a": 1}
    assert issues.clipped == {"a": 1}
    absent, inverted, outside, late = warnings_of(caplog)
    assert "line 7: no video 'c'" in absent
    assert "line 2: the box 30 2 20 9 is inverted or empty; left out, and 1 more" in inverted
    assert "line 4: the box 64 2 70 9 is outside the image; left out" in outside
    assert "line 5: frame 21 is beyond the end of 'a', which has 20 frames" in late
    report = check_dataset(root, custom_files(root, "mine")).report
    assert {"missing", "dropped", "beyond", "clipped", "no_tubes"} == set(report.problems)
    assert set(report.problems["missing"]) == {"c"}
    assert set(report.problems["no_tubes"]) == {"more/b"}


def test_splits_by_name_and_pattern(root):
    keys = {"splits": {"train": ["more/*"], "test": ["a.mp4"]}}
    truth, _ = read(root, "annotations.csv", CSV, **keys)
    assert (truth.train, truth.test) == ([["more/b"]], [["a"]])
    described = Description(**keys)
    assert described.videos_of("test", ["a", "more/b"]) == ["a"]
    with pytest.raises(ValueError, match="no split 'val'"):
        described.videos_of("val", ["a"])
    with pytest.raises(ValueError, match="no annotated video is named"):
        described.videos_of("train", ["a"])


def test_no_annotations_are_said(root):
    with pytest.raises(FileNotFoundError, match=r"expected annotations\.csv"):
        custom_files(root, "mine").ground_truth(root, AnnotationIssues())
    assert all_datasets(root) == ["mine"]
    with pytest.raises(ValueError, match="unknown dataset 'yours'"):
        any_files(root, "yours")


@pytest.mark.parametrize("form", ["csv", "coco", "cvat"])
def test_generated_clips_written_as_own_data_are_the_same(tmp_path, form, capsys):
    options = ["--size", "32", "48", "--length", "16", "17", "--val", "1", "--train", "2"]
    main(
        [
            "generate",
            "--root",
            str(tmp_path),
            "--set",
            "easy",
            "--test",
            "1",
            *options,
            "--custom",
            form,
        ]
    )
    assert capsys.readouterr().out.strip() == str(tmp_path / f"easy_{form}")
    sizes = {"train": 2, "val": 1, "test": 1}
    folder = generate(tmp_path, "easy", sizes, (32, 48), (16, 17), progress=False)
    issues = AnnotationIssues()
    own = any_files(tmp_path, f"easy_{form}").ground_truth(tmp_path, issues)
    truth = GroundTruth.load(folder / "annotations.pkl").select(own.videos)
    assert issues.lines() == []
    assert own.labels == truth.labels
    for column in ("nframes", "resolution"):
        assert np.array_equal(getattr(own, column), getattr(truth, column))
    assert own.train == [["train/0000", "train/0001"]]
    found, expected = sorted(tubes_of(own)), sorted(tubes_of(truth))
    assert [t[:3] for t in found] == [t[:3] for t in expected]
    for a, b in zip(found, expected):
        assert np.allclose(a[3], b[3], atol=1e-5)


def test_bad_rows_are_left_out_counted_and_the_first_is_named(root, caplog):
    text = HEADER + "a,1,x,run,1,2,30,40\na,2,x,run,1,2,z,40\na,3,x\na,1,x,run,1,2,30,41\n"
    truth, issues = read(root, "annotations.csv", text)
    assert tubes_of(truth) == [("a", "run", 1, [[1, 2, 29, 39]])]
    assert issues.rows.total() == 3
    unusable, twice = warnings_of(caplog)[:2]
    assert "line 3: could not convert string to float: 'z'" in unusable
    assert "left out, and 1 more that cannot be understood" in unusable
    assert "line 5: track x of 'a' has two boxes at frame 1; left out" in twice
    report = check_dataset(root, custom_files(root, "mine")).report
    assert report.problems["rows"] == {"annotations.csv": "3 rows left out"}


def test_bad_annotations_are_left_out(root):
    bad = [{"id": 7, "image_id": 1, "track_id": 9, "category_id": 99, "bbox": [1, 1, 2, 2]}, 3]
    good, _ = read(root, "annotations.json", json.dumps(COCO))
    content = COCO | {"annotations": [*COCO["annotations"], *bad], "images": [*COCO["images"], {}]}
    truth, issues = read(root, "annotations.json", json.dumps(content))
    assert tubes_of(truth) == tubes_of(good)
    assert issues.rows.total() == 3


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_crowds_are_kept_apart(root, flag):
    text = HEADER.replace("label", f"label,{flag}")
    rows = "a,1,x,run,0,1,2,30,40\na,1,y,run,1,5,6,50,40\na,2,y,run,true,5,6,50,40\n"
    truth, _ = read(root, "annotations.csv", text + rows)
    assert tubes_of(truth) == [("a", "run", 1, [[1, 2, 29, 39]])]
    assert truth.crowds.boxes.tolist() == [[5, 6, 49, 39]] * 2
    assert (truth.crowds.start.tolist(), truth.crowds.lengths.tolist()) == ([1], [2])


def test_crowds_of_json_need_no_track(root):
    first = COCO["annotations"][0]
    crowd = {k: v for k, v in first.items() if k != "track_id"} | {"id": 90, "iscrowd": 1}
    crowd["category_id"] = COCO["categories"][0]["id"]
    content = COCO | {"annotations": [*COCO["annotations"], crowd]}
    truth, _ = read(root, "annotations.json", json.dumps(content))
    assert len(truth.crowds) == 1
    assert len(truth.tubes) == len(read(root, "annotations.json", json.dumps(COCO))[0].tubes)
