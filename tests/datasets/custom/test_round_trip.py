"""Annotations that are written, read and written again are the same, whatever tubes they are of."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.datasets.custom.description import DESCRIPTION, Description
from pcsc_d2.datasets.custom.one_action import refuse_several_actions
from pcsc_d2.datasets.custom.read import custom_files
from pcsc_d2.datasets.custom.thinning import key_frames
from pcsc_d2.datasets.custom.tubes import read_own
from pcsc_d2.datasets.custom.write import write_own
from pcsc_d2.datasets.custom.written import WriteOptions
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.tubes import GroundTruth, Tubes

SIZE, FRAMES, RATE = (48, 64), (131, 80), 25.0
# With what CSV, JSON, XML and spreadsheets each have to take in their own way.
NAMES = ("a", "more/b 2")
LABELS = ("jump, high", 'say "ä" & <go>', "-wave")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, encode) -> Path:
    folder = tmp_path_factory.mktemp("round") / "videos"
    for name, frames in zip(NAMES, FRAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(folder / f"{name}.mp4", [np.full((*SIZE, 3), 99, np.uint8)] * frames)
    return folder


def random_tube(rng: np.random.Generator, length: int) -> np.ndarray:
    """(n, 4) inclusive boxes that walk, jump, stand or move in a straight line."""
    kind = rng.integers(4)
    steps = rng.normal(0, (0.4, 9.0, 0.0, 0.0)[kind], (length, 2))
    if kind == 3:
        steps += rng.normal(0, 0.2, 2)
    corner = np.clip(rng.uniform(2, 30, 2) + steps.cumsum(0), 0, (40, 28))
    size = np.clip(rng.uniform(4, 15, 2) + rng.normal(0, 0.2, (length, 2)).cumsum(0), 2, 18)
    boxes = np.hstack([corner, corner + size])
    return np.round(boxes) if rng.random() < 0.3 else boxes


def random_truth(seed: int) -> GroundTruth:
    """Tubes of two videos, of which some overlap, and of which some follow one another at once."""
    rng = np.random.default_rng(seed)
    rows = []
    for video, frames in enumerate(FRAMES):
        for _ in range(rng.integers(1, 6)):
            start = int(rng.integers(1, frames))
            length = int(rng.integers(1, frames - start + 2))
            rows.append((video, int(rng.integers(3)), start, random_tube(rng, length)))
    return truth_of(rows)


def truth_of(rows: Sequence[tuple[int, int, int, np.ndarray]]) -> GroundTruth:
    lengths = [len(row[3]) for row in rows]
    ones = np.ones(sum(lengths))
    video, cls, start = (np.array([row[i] for row in rows]) for i in range(3))
    ptr, boxes = np.cumsum([0, *lengths]), np.concatenate([row[3] for row in rows])
    tubes = Tubes(NAMES, LABELS, video, cls, ones[: len(rows)], start, ptr, boxes, ones)
    return GroundTruth(LABELS, NAMES, FRAMES, [SIZE] * 2, tubes, [], [])


def written(folder: Path, truth: GroundTruth, form: str, options: WriteOptions) -> list[Path]:
    write_own(folder, truth, {}, form, {"train": ["*"]}, options)
    here = [*folder.glob("annotations.*"), *folder.glob("annotations/*")]
    return sorted(path for path in here if path.suffix != ".pbtxt")


def read(videos: Path, paths: list[Path]) -> GroundTruth:
    issues = AnnotationIssues()
    truth = read_own(videos, paths, Description(labels=LABELS), issues)
    assert issues.lines() == []
    return truth


def table(truth: GroundTruth) -> list[tuple]:
    """Every tube, in an order that does not depend on that of the file."""
    tubes = truth.tubes
    return sorted(
        (
            str(tubes.videos[tubes.video[i]]),
            truth.labels[tubes.classes[i]],
            int(tubes.start[i]),
            tubes.boxes[tubes.ptr[i] : tubes.ptr[i + 1]].tolist(),
        )
        for i in range(len(tubes))
    )


@pytest.mark.parametrize("form", ["csv", "ava"])
def test_no_cell_is_a_formula(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "NAMES", ("a", "=more/b 2"))
    [path] = written(
        tmp_path, random_truth(1), form, WriteOptions(rates=dict.fromkeys(NAMES, RATE))
    )
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=more/b 2" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("form", ["csv", "coco"])
def test_crowds_stay_crowds(tmp_path: Path, videos: Path, form: str, seed: int) -> None:
    truth = replace(random_truth(seed), crowds=random_truth(200 + seed).tubes)
    again = read(videos, written(tmp_path, truth, form, OPTIONS))
    for one, two in ((again.crowds, truth.crowds), (again.tubes, truth.tubes)):
        one, two = table(replace(again, tubes=one)), table(replace(truth, tubes=two))
        assert [row[:3] for row in one] == [row[:3] for row in two]
    twice = read(videos, written(tmp_path, again, form, OPTIONS))
    assert table(replace(twice, tubes=twice.crowds)) == table(replace(again, tubes=again.crowds))


OPTIONS = WriteOptions(scored=True, rates=dict.fromkeys(NAMES, RATE))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("form", ["csv", "coco", "cvat"])
def test_written_is_read_as_it_was(tmp_path: Path, videos: Path, form: str, seed: int) -> None:
    truth = random_truth(seed)
    again = read(videos, written(tmp_path, truth, form, OPTIONS))
    assert [row[:3] for row in table(again)] == [row[:3] for row in table(truth)]
    for one, two in zip(table(again), table(truth)):
        np.testing.assert_allclose(one[3], two[3], rtol=0, atol=1e-5)
    assert again.labels == truth.labels
    by_name = again.videos.tolist()
    assert [again.nframes[by_name.index(n)] for n in truth.videos[truth.tubes.video]] == [
        FRAMES[v] for v in truth.tubes.video
    ]
    for _ in range(2):  # from the first reading on, to the last bit
        before, again = again, read(videos, written(tmp_path, again, form, OPTIONS))
        assert table(again) == table(before)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("tolerance", [0.0, 0.5, 3.0])
def test_thinned_tracks_are_within_the_tolerance_and_stay(
    tmp_path: Path, videos: Path, seed: int, tolerance: float
) -> None:
    truth = random_truth(100 + seed)
    options = WriteOptions(scored=True, tolerance=tolerance)
    paths = written(tmp_path, truth, "cvat", options)
    again = read(videos, paths)
    assert [row[:3] for row in table(again)] == [row[:3] for row in table(truth)]
    for one, two in zip(table(again), table(truth)):
        assert np.abs(np.subtract(one[3], two[3])).max() <= tolerance + 1e-4
    first = [path.read_bytes() for path in paths]
    twice = read(videos, written(tmp_path, again, "cvat", options))
    assert [row[:3] for row in table(twice)] == [row[:3] for row in table(again)]
    for one, two in zip(table(twice), table(again)):
        np.testing.assert_allclose(one[3], two[3], rtol=0, atol=1e-4)
    if tolerance:
        assert [len(path.read_bytes()) for path in paths] == [len(text) for text in first]


def ava_truth(seed: int) -> GroundTruth:
    """Tubes that begin and end at seconds, and are straight between them, as AVA's are read."""
    rng = np.random.default_rng(seed)
    rows = []
    for video, frames in enumerate(FRAMES):
        seconds = (frames - 1) // 25
        for _ in range(rng.integers(1, 4)):
            first = int(rng.integers(0, seconds + 1))
            last = int(rng.integers(first, seconds + 1))
            keys = random_tube(rng, last - first + 1)
            at = np.arange((last - first) * 25 + 1) / 25
            boxes = np.stack([np.interp(at, np.arange(len(keys)), c) for c in keys.T], axis=1)
            actions = rng.permutation(3)[: rng.integers(1, 4)]
            rows += [(video, int(cls), first * 25 + 1, boxes) for cls in actions]
    return truth_of(rows)


@pytest.mark.parametrize("seed", range(25))
def test_ava_is_read_as_it_was(tmp_path: Path, videos: Path, seed: int) -> None:
    truth = ava_truth(seed)
    again = read(videos, written(tmp_path, truth, "ava", OPTIONS))
    assert [row[:3] for row in table(again)] == [row[:3] for row in table(truth)]
    for one, two in zip(table(again), table(truth)):
        np.testing.assert_allclose(one[3], two[3], rtol=0, atol=1e-4)
    before, again = again, read(videos, written(tmp_path, again, "ava", OPTIONS))
    assert [row[:3] for row in table(again)] == [row[:3] for row in table(before)]
    for one, two in zip(table(again), table(before)):
        np.testing.assert_allclose(one[3], two[3], rtol=0, atol=1e-5)


AVA = "a,0001,0.25,0.25,0.5,0.5,80,7\na,0002,0.25,0.25,0.5,0.75,80,7\na,0004,0.5,0.5,1,1,80,7\n"
ACTIONS = 'item {\n  name: "wave"\n  id: 80\n}\nitem {\n  name: "answer"\n  id: 12\n}\n'


def ava(videos: Path, folder: Path, text: str, actions: str | None = ACTIONS) -> GroundTruth:
    (folder / "annotations.csv").write_text(text)
    if actions is not None:
        (folder / "ava_action_list.pbtxt").write_text(actions)
    return read_own(videos, [folder / "annotations.csv"], Description(), AnnotationIssues())


def test_ava_s_seconds_and_shares(tmp_path: Path, videos: Path) -> None:
    truth = ava(videos, tmp_path, AVA)
    assert truth.labels == ("answer", "wave")
    (_, label, start, boxes), (_, _, second, last) = table(truth)
    assert (label, start, len(boxes), second) == ("wave", 26, 26, 101)
    assert boxes[0] == [16, 12, 31, 23]
    assert boxes[-1] == [16, 12, 31, 35]
    assert last == [[32, 24, 63, 47]]


@pytest.mark.parametrize(
    ("text", "actions", "message"),
    [
        (AVA, None, r"annotations\.csv: looks like AVA's, .* put its \.pbtxt beside it"),
        (AVA, "item {}", r"ava_action_list\.pbtxt: .* no item with a name and an id"),
        (AVA.replace(",80,", ",81,"), ACTIONS, "line 1: action 81 is not in the list"),
        (AVA.replace("a,", "b,"), ACTIONS, "line 1: no video 'b', whose rate and size"),
        ("a,1,25,25,0.5,0.5,80,7\n", ACTIONS, "line 1: the box 25 25 0.5 0.5 is no share"),
        ("a,nan,0,0,1,1,80,7\n", ACTIONS, "line 1: second nan cannot be"),
    ],
)
def test_ava_that_cannot_be_read(tmp_path, videos, text, actions, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        ava(videos, tmp_path, text, actions)
    assert "\n" not in str(error.value)


def test_several_actions_to_a_box_are_read_and_not_trained(tmp_path: Path, videos: Path) -> None:
    truth = ava(videos, tmp_path, AVA + "a,0002,0.25,0.25,0.5,0.75,12,7\n")
    assert [row[1] for row in table(truth)] == ["answer", "wave", "wave"]
    what = r"'mine': one box has several actions \(answer and wave; a, frame 51, box 16 12 32 36\)"
    with pytest.raises(ValueError, match=what):
        refuse_several_actions("mine", truth)
    refuse_several_actions("mine", ava(videos, tmp_path, AVA))


def test_key_frames_of_a_straight_line_are_its_ends() -> None:
    line = np.linspace([0, 0, 9, 9], [50, 20, 70, 40], 1000)
    assert key_frames(line, 0.01).tolist() == [0, 999]
    line[500:] += 5
    assert key_frames(line, 0.01).tolist() == [0, 499, 500, 999]
    assert key_frames(line[:1], 0.0).tolist() == [0]


def test_cvat_s_fields(tmp_path: Path) -> None:
    """What CVAT looks for when it takes a file: each by its name, in its place."""
    truth = truth_of([(0, 0, 3, np.tile([[4.0, 5, 13, 14]], (4, 1)))])
    written(tmp_path, truth, "cvat", WriteOptions(scored=True, tolerance=1.0))
    assert sorted(path.name for path in tmp_path.glob("annotations/*")) == [
        "a.xml",
        "more_b 2.xml",
    ]
    root = ElementTree.parse(tmp_path / "annotations" / "a.xml").getroot()
    assert root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert (task.findtext("name"), task.findtext("size")) == ("a", "131")
    assert task.findtext("mode") == "interpolation"
    assert [label.findtext("name") for label in task.findall("labels/label")] == list(LABELS)
    attribute = task.find("labels/label/attributes/attribute")
    told = {one.tag: one.text for one in attribute}
    assert told["name"] == "score"
    assert told["mutable"] == "False"
    assert told["input_type"] == "text"
    assert (task.findtext("original_size/width"), task.findtext("source")) == ("64", "a.mp4")
    [track] = root.findall("track")
    assert track.attrib == {"id": "0", "label": LABELS[0], "source": "auto"}
    boxes = [(b.get("frame"), b.get("outside"), b.get("keyframe")) for b in track]
    assert boxes == [("2", "0", "1"), ("5", "0", "1"), ("6", "1", "1")]
    corners = [track[0].get(name) for name in ("xtl", "ytl", "xbr", "ybr", "occluded", "z_order")]
    assert corners == ["4", "5", "14", "15", "0", "0"]
    assert [(a.get("name"), a.text) for a in track[0]] == [("score", "1")]
    labels = json.loads((tmp_path / "cvat-labels.json").read_text())
    assert [label["name"] for label in labels] == list(LABELS)
    assert labels[0]["attributes"][0]["name"] == "score"


def test_files_of_videos_of_similar_names_are_told_apart(tmp_path: Path, make_truth) -> None:
    box = [[1, 1, 5, 5]]
    truth = make_truth([(0, 0, 1, box), (1, 1, 1, box)], videos=("a/b", "A_b"))
    paths = written(tmp_path, truth, "cvat", WriteOptions())
    assert [path.name for path in paths] == ["A_b-2.xml", "a_b.xml"]


def tubes_json(score: float, label: str = "wave") -> dict:
    tube = {"tube": 1, "label": label, "score": score, "start": 0.0, "end": 0.12}
    tube |= {"start_frame": 1, "end_frame": 3, "times": [0.0, 0.04, 0.08]}
    boxes = [[1.5, 2.25, 20.0, 30.0 + i] for i in range(3)]
    return {
        **{"video": "any/a.mp4", "height": 48, "width": 64, "frames": 131, "start": 0.0},
        **{"end": 5.24, "problem": "", "model": "m"},
        "tubes": [tube | {"boxes": boxes, "scores": [score] * 3}],
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An output folder of two videos."""
    for name, score in zip(NAMES, (0.75, 0.25)):
        place = tmp_path / "results" / name
        place.mkdir(parents=True)
        (place / "tubes.json").write_text(json.dumps(tubes_json(score)))
    return tmp_path / "results"


def export(results: Path, out: Path, *words: str) -> int:
    return main(["annotations", str(results), "--out", str(out), "--quiet", *words])


@pytest.mark.parametrize("form", ["csv", "coco", "cvat", "ava"])
def test_results_become_a_dataset(
    results: Path, videos: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    assert export(results, mine, "--format", form, "--videos", str(videos)) == 0
    assert capsys.readouterr().out == f"2 tubes in 2 videos, 2 of them linked: {mine}\n"
    assert json.loads((mine / DESCRIPTION).read_text()) == {
        "labels": ["wave"],
        "splits": {"train": ["*"]},
    }
    truth = custom_files(tmp_path, "mine").ground_truth(tmp_path, AnnotationIssues())
    boxes = [[1.5, 2.25, 20.0, 30.0 + i] for i in range(1 if form == "ava" else 3)]
    assert table(truth) == [(name, "wave", 1, boxes) for name in NAMES]
    assert export(mine, tmp_path / "csv", "--format", "csv") == 0
    assert (tmp_path / "csv" / "annotations.csv").read_text().count("wave") == 2 * len(boxes)


def test_labels_are_those_of_the_model(results: Path, tmp_path: Path) -> None:
    known = {"labels": ["walk", "wave", "answer"]}
    (results / "a" / "tubes.json").write_text(json.dumps(tubes_json(0.5) | known))
    assert export(results, tmp_path / "mine", "--format", "cvat", "--classes", "wave") == 0
    assert json.loads((tmp_path / "mine" / DESCRIPTION).read_text())["labels"] == known["labels"]
    labels = json.loads((tmp_path / "mine" / "cvat-labels.json").read_text())
    assert [label["name"] for label in labels] == known["labels"]


def test_what_is_left_out_of_results(results: Path, tmp_path: Path) -> None:
    assert export(results, tmp_path / "mine", "--format", "csv", "--score", "0.5") == 0
    assert [line.rpartition(",")[2] for line in csv_lines(tmp_path / "mine")] == ["0.75"] * 3


def test_crowds_that_have_no_place_are_told(results: Path, tmp_path: Path, capsys) -> None:
    assert export(results, tmp_path / "mine", "--format", "csv") == 0
    path = tmp_path / "mine" / "annotations.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},iscrowd", *(f"{line},1" for line in lines[1:])]))
    (tmp_path / "mine" / "videos").mkdir()
    capsys.readouterr()
    assert export(tmp_path / "mine", tmp_path / "cvat", "--format", "cvat") == 0
    assert capsys.readouterr().out.startswith("2 crowds are left out: cvat has no place for them")


def csv_lines(folder: Path) -> list[str]:
    return (folder / "annotations.csv").read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "run"], "not one tube is left"),
        (["--tolerance", "-1"], "--tolerance: '-1' is no number of 0 or more"),
        (["--videos", "."], "2 of 2 videos are not there by their names (the first: a)"),
    ],
)
def test_what_cannot_be_written(results, tmp_path, words, message, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(results, tmp_path / "mine", "--format", "cvat", *words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "mine").exists()


def test_annotations_are_never_written_over(results: Path, tmp_path: Path, capsys) -> None:
    assert export(results, tmp_path / "mine", "--format", "csv") == 0
    assert export(results, tmp_path / "mine", "--format", "cvat") == 2
    assert "annotations are there already; give another --out" in capsys.readouterr().err
    assert export(tmp_path / "mine" / "no", tmp_path / "x", "--format", "csv") == 2
    assert "no results of pcsc detect there" in capsys.readouterr().err


Spoil = Callable[[dict], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda about: about.pop("frames"),
        lambda about: about.update(end=0.0),
        lambda about: about["tubes"][0].update(boxes=[[1, 2, 3]]),
        lambda about: about["tubes"][0].update(scores=[]),
        lambda about: about.update(tubes=3),
    ],
)
def test_results_that_cannot_be_read(results: Path, tmp_path: Path, spoil: Spoil, capsys) -> None:
    about = tubes_json(0.5)
    spoil(about)
    (results / "a" / "tubes.json").write_text(json.dumps(about))
    assert export(results, tmp_path / "mine", "--format", "csv") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{results / 'a' / 'tubes.json'}: cannot be read as tubes" in line
