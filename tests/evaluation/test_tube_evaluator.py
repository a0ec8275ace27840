"""The evaluator on outputs made by hand."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from pcsc_d2.evaluation import TubeEvaluator, tube_evaluator
from pcsc_d2.tubes import Detections, GroundTruth, LinkOptions, RefineOptions, Tubes

NAME = "made_by_hand"
LABELS = ("jump", "sit", "wave")
SIZE = (100, 100)
FRAMES = 24
# Corners inclusive, as in files. Of "wave" there is none.
TUBES = {("jump/a", 0): [10.0, 20.0, 29.5, 59.25], ("sit/b", 1): [5.0, 5.0, 44.0, 99.0]}
START, LENGTH = 3, 18


def ground_truth() -> GroundTruth:
    videos = np.array([video for video, _ in TUBES])
    boxes = np.repeat(np.array([*TUBES.values()], np.float32), LENGTH, axis=0)
    # Each box moves by a pixel a frame.
    boxes[:, [0, 2]] += np.tile(np.arange(LENGTH), 2)[:, None]
    return GroundTruth(
        labels=LABELS,
        videos=videos,
        nframes=np.full(2, FRAMES),
        resolution=np.tile(SIZE, (2, 1)),
        tubes=Tubes(
            videos=videos,
            labels=np.array(LABELS),
            video=np.arange(2),
            classes=np.array([cls for _, cls in TUBES]),
            scores=np.ones(2),
            start=np.full(2, START),
            ptr=np.array([0, LENGTH, 2 * LENGTH]),
            boxes=boxes,
            box_scores=np.ones(2 * LENGTH),
        ),
        train=[[]],
        test=[videos.tolist()],
    )


@pytest.fixture(autouse=True)
def _registered() -> None:
    MetadataCatalog.pop(NAME, None)
    MetadataCatalog.get(NAME).set(load_ground_truth=ground_truth, thing_classes=list(LABELS))


def evaluator(folder: Path | None = None, **options: object) -> TubeEvaluator:
    return TubeEvaluator(NAME, folder, **({"link_options": LinkOptions()} | options))


def instances(boxes: np.ndarray, classes: list[int], score: float = 0.9) -> Instances:
    """Detections as a model gives them: a box ends where its last pixel ends."""
    exclusive = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4).clone()
    exclusive[:, 2:] += 1
    return Instances(
        SIZE,
        pred_boxes=Boxes(exclusive),
        scores=torch.full((len(classes),), score),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
    )


def perfect(shift: float = 0.0, score: float = 0.9) -> list[tuple[dict, dict]]:
    """Inputs and outputs of all frames: the ground truth, moved to the right by ``shift``."""
    tubes = ground_truth().tubes
    pairs = []
    for i, video in enumerate(tubes.videos.tolist()):
        for frame in range(1, FRAMES + 1):
            there = (tubes.video[tubes.box_tubes] == i) & (tubes.box_frames == frame)
            boxes = tubes.boxes[there] + np.float32([shift, 0, shift, 0])
            found = instances(boxes, [int(tubes.classes[i])] * len(boxes), score)
            pairs.append(({"video_id": video, "frame_index": frame}, {"instances": found}))
    return pairs


def feed(made: TubeEvaluator, pairs: list[tuple[dict, dict]]) -> TubeEvaluator:
    made.reset()
    for x, output in pairs:
        made.process([x], [output])
    return made


def test_perfect_detections_score_100() -> None:
    scores = feed(evaluator(), perfect()).evaluate()
    assert list(scores) == ["frame", "video", "temporal"]
    assert [scores["temporal"][c] for c in ("AP30", "AP70", "AP30:70")] == [100, 100, 100]
    for column in ("AP50", "AP75"):
        assert scores["frame"][column] == 100
        assert scores["frame"][f"{column}-jump"] == scores["frame"][f"{column}-sit"] == 100
        assert math.isnan(scores["frame"][f"{column}-wave"])
    assert {c: scores["video"][c] for c in ("AP20", "AP50", "AP75", "AP50:95")} == {
        "AP20": 100,
        "AP50": 100,
        "AP75": 100,
        "AP50:95": 100,
    }


def test_detections_of_little_overlap_score_by_the_threshold() -> None:
    # jump: 20.5 wide, moved by 5: IoU 15.5 / 25.5 = 0.61. sit: 40 wide: IoU 35 / 45 = 0.78.
    scores = feed(evaluator(), perfect(shift=5)).evaluate()["frame"]
    assert scores["AP50"] == 100
    assert "AP60" not in scores
    at = feed(evaluator(frame_ious=(0.3, 0.6, 0.62)), perfect(shift=5)).evaluate()["frame"]
    assert (at["AP30"], at["AP60"], at["AP62"], at["AP50:95"]) == (100, 100, 50, 45)
    assert (scores["AP75-jump"], scores["AP75-sit"], scores["AP75"]) == (0, 100, 50)


def test_frames_alone_without_links() -> None:
    assert list(feed(evaluator(link_options=None), perfect()).evaluate()) == ["frame"]


def test_frames_that_were_not_looked_at_do_not_count_where_few_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    few = [pair for pair in perfect() if pair[0]["frame_index"] in (5, 20)]
    sparse = feed(evaluator(link_options=None, sparse=True), few).evaluate()
    assert sparse["frame"]["AP50"] == 100
    assert "not looked at" not in caplog.text
    assert feed(evaluator(link_options=None), few).evaluate()["frame"]["AP50"] < 20
    wrong = [(x, {"instances": instances(np.zeros((0, 4)), [])}) for x, _ in few[:2]]
    halved = feed(evaluator(link_options=None, sparse=True), [*wrong, *few[2:]]).evaluate()
    assert (halved["frame"]["AP50-jump"], halved["frame"]["AP50-sit"]) == (0, 100)


def test_boxes_go_to_the_file_as_they_were_annotated(tmp_path: Path) -> None:
    feed(evaluator(tmp_path), perfect()).evaluate()
    written = Detections.load(tmp_path / "detections.npz")
    truth = ground_truth()
    assert written.videos.tolist() == truth.videos.tolist()
    assert written.labels.tolist() == list(LABELS)
    assert np.array_equal(written.boxes, truth.tubes.boxes)
    assert np.array_equal(written.classes, truth.tubes.classes[truth.tubes.box_tubes])
    assert np.array_equal(Tubes.load(tmp_path / "tubes.npz").boxes, truth.tubes.boxes)


def test_box_of_less_than_a_pixel_is_no_inverted_one(tmp_path: Path) -> None:
    thin = {"instances": instances(np.array([[20.0, 20.0, 19.25, 40.0]]), [0])}
    feed(evaluator(tmp_path), [({"video_id": "jump/a", "frame_index": 1}, thin)]).evaluate()
    assert Detections.load(tmp_path / "detections.npz").boxes.tolist() == [[20, 20, 20, 40]]


def test_files_of_an_evaluation(tmp_path: Path) -> None:
    scores = feed(evaluator(tmp_path), perfect(shift=5)).evaluate()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"detections.npz", "tubes.npz", "results.json", "page.html"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["protocol"] == "act"
    assert results["frame"]["0.5"] == scores["frame"]["AP50"]
    frame = scores["frame"]
    assert results["frame"] == {
        "0.5": frame["AP50"],
        "0.75": frame["AP75"],
        "0.5:0.95": frame["AP50:95"],
    }
    # jump has an IoU of 0.61 with the truth, sit 0.78: 3 and 6 of the ten thresholds.
    assert frame["AP50:95"] == pytest.approx((30 + 60) / 2)
    assert results["per_class"]["frame"]["0.5"] == {"jump": 100, "sit": 100, "wave": None}
    assert NAME in (tmp_path / "page.html").read_text()


def test_results_are_json_to_every_reader(tmp_path: Path) -> None:
    pairs = [(x, out | {"stages": [out["instances"]] * 2}) for x, out in perfect()]
    feed(evaluator(tmp_path), pairs).evaluate()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (tmp_path / "results.json").read_text()
    results = json.loads(text, parse_constant=refuse)
    assert results["stages"]["stage1"]["AP50-wave"] is None


def test_frame_that_two_ranks_looked_at_counts_once() -> None:
    pairs = perfect()
    assert feed(evaluator(), [*pairs, *pairs[:5]]).evaluate()["frame"]["AP50"] == 100
    made = feed(evaluator(), pairs)
    feed(made, pairs[:FRAMES])  # of one video alone, after a reset
    assert made.evaluate()["frame"]["AP50"] == 50


def test_frames_not_looked_at_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        scores = feed(evaluator(), perfect()).evaluate()
        assert caplog.records == []
        fewer = feed(evaluator(), perfect()[:-6]).evaluate()
    (line,) = [r.getMessage() for r in caplog.records]
    assert "6 of 48 frames were not looked at" in line
    # Of the six, the last four hold no ground truth.
    assert fewer["frame"]["AP50-sit"] == pytest.approx(100 * 16 / 18)
    assert scores["frame"]["AP50-sit"] == 100


def test_every_stage_is_scored() -> None:
    none = instances(np.zeros((0, 4)), [])
    pairs = []
    for (x, out), (_, moved) in zip(perfect(), perfect(shift=5)):
        stages = [none, moved["instances"], out["instances"]]
        pairs.append((x, out | {"stages": stages}))
    scores = feed(evaluator(), pairs).evaluate()
    named = ["frame", "video", "temporal", "frame_stage0", "frame_stage1", "frame_stage2"]
    assert list(scores) == named
    assert [scores[f"frame_stage{t}"]["AP75"] for t in (0, 1, 2)] == [0, 50, 100]
    assert scores["frame_stage2"]["AP50"] == scores["frame"]["AP50"] == 100


def test_ranks_are_gathered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = [(x, out | {"stages": [out["instances"]]}) for x, out in perfect(shift=5)]
    alone = feed(evaluator(tmp_path / "alone"), pairs).evaluate()
    # The cut goes through a video: of the first, rank 0 has frames 1 to 7, rank 1 the others.
    other = feed(evaluator(), pairs[7:])
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    theirs = (other._stages, other._files, other._features)
    monkeypatch.setattr(tube_evaluator, "gather", lambda data: [data, theirs])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    together = feed(evaluator(tmp_path / "together"), pairs[:7]).evaluate()
    assert str(together) == str(alone)  # as text, in which NaN equals NaN
    for name in ("detections.npz", "tubes.npz"):
        one, two = (np.load(tmp_path / x / name) for x in ("alone", "together"))
        assert one.files == two.files
        assert all(np.array_equal(one[k], two[k]) for k in one.files)
    monkeypatch.setattr(tube_evaluator, "gather", lambda data: [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert feed(evaluator(tmp_path / "second"), pairs[7:]).evaluate() is None
    assert not (tmp_path / "second").exists()


def test_rank_alone_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(tube_evaluator, "gather", lambda data: pytest.fail("gathered"))
    assert feed(evaluator(distributed=False), perfect()).evaluate()["frame"]["AP50"] == 100


def with_actionness() -> list[tuple[dict, dict]]:
    """A box in every frame of a video; actionness is high in frames 3 to 20, where the action is,
    and in another video low throughout."""
    own = ground_truth().tubes.boxes[:LENGTH]
    pairs = []
    for video, cls in (("jump/a", 0), ("sit/b", 1)):
        for frame in range(1, FRAMES + 1):
            found = instances(own[[np.clip(frame - START, 0, LENGTH - 1)]], [cls])
            acts = cls == 0 and START <= frame < START + LENGTH
            found.actionness = torch.tensor([0.9 if acts else 0.1])
            pairs.append(({"video_id": video, "frame_index": frame}, {"instances": found}))
    return pairs


def test_actionness_is_kept_and_refines_tubes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = RefineOptions(threshold=0.5, window=3, min_length=2)
    with caplog.at_level(logging.INFO, "pcsc_d2"):
        scores = feed(evaluator(tmp_path, refine_options=options), with_actionness()).evaluate()
    assert Detections.load(tmp_path / "detections.npz").actionness.min() == np.float32(0.1)
    tubes = Tubes.load(tmp_path / "tubes.npz")
    assert (tubes.start.tolist(), tubes.last.tolist()) == ([3], [20])
    linked = Tubes.load(tmp_path / "tubes_unrefined.npz")
    assert linked.lengths.tolist() == [FRAMES, FRAMES]
    assert "2 tubes linked, 1 vanished" in caplog.text
    said = json.loads((tmp_path / "results.json").read_text())["refinement"]
    assert (said["linked"], said["vanished"], said["left"]) == (2, 1, 1)
    assert (said["threshold"], said["window"]) == (0.5, 3)
    assert said["overlap_before"] == pytest.approx(LENGTH / FRAMES)
    assert said["overlap_after"] == 1.0
    assert said["video_unrefined"]["AP20"] == scores["video_unrefined"]["AP20"]
    page = (tmp_path / "page.html").read_text()
    assert "Temporal refinement" in page
    assert "1 vanished" in page
    assert "refined: frames 3 to 20" in page


def test_tubes_without_actionness_or_options_stay_as_linked(tmp_path: Path) -> None:
    options = RefineOptions(threshold=0.5, window=3, min_length=2)
    plain = feed(evaluator(tmp_path / "a", refine_options=options), perfect()).evaluate()
    off = feed(evaluator(tmp_path / "b", refine_options=None), with_actionness()).evaluate()
    for folder, scores in (("a", plain), ("b", off)):
        assert "video_unrefined" not in scores
        assert not (tmp_path / folder / "tubes_unrefined.npz").exists()
        assert "Temporal refinement" not in (tmp_path / folder / "page.html").read_text()
    assert Tubes.load(tmp_path / "b" / "tubes.npz").lengths.tolist() == [FRAMES, FRAMES]


def test_nothing_detected_scores_0(tmp_path: Path) -> None:
    none = {"instances": instances(np.zeros((0, 4)), [])}
    scores = feed(evaluator(tmp_path), [(x, none) for x, _ in perfect()]).evaluate()
    assert scores["frame"]["AP50"] == scores["video"]["AP50"] == 0
    assert len(Detections.load(tmp_path / "detections.npz")) == 0


def test_picture_that_cannot_be_made_leaves_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = str(tmp_path / "gone.mp4")
    pairs = [(x | {"file_name": gone, "decoding": "coded"}, out) for x, out in perfect()]
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        feed(evaluator(tmp_path / "out"), pairs).evaluate()
    assert gone in caplog.text
    assert (tmp_path / "out" / "page.html").is_file()
    assert (tmp_path / "out" / "results.json").is_file()


def test_scores_are_a_table_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pcsc_d2"):
        feed(evaluator(), perfect(shift=5)).evaluate()
    rows = [[c.strip() for c in row.split("|")[1:-1]] for row in caplog.text.splitlines()]
    assert ["frame", "", "100.00", "50.00", "45.00"] in rows
    assert ["sit", "100.00", "100.00"] in rows
    assert ["wave", "nan", "nan"] in rows
