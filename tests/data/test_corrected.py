"""What was detected, corrected as a person does in CVAT, is a dataset that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from pcsc_d2.cli import main
from pcsc_d2.data import check_datasets, register_custom_datasets
from tests.square_model import SIDE, encode, square_at, square_frames
from tests.tiny import tiny_config

Run = Callable[..., int]


@pytest.fixture
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is registered meanwhile is forgotten."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.usefixtures("forgotten")
def test_detect_correct_and_the_dataset_is_there(run: Run, tmp_path: Path) -> None:
    for name in ("one", "more/two"):
        path = tmp_path / "archive" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, square_frames(20))
    archive, mine = str(tmp_path / "archive"), tmp_path / "mine"
    assert run(archive) == 0
    words = ["--format", "cvat", "--videos", archive, "--out", str(mine), "--quiet"]
    assert main(["annotations", str(tmp_path / "out"), *words]) == 0
    correct(mine / "annotations" / "one.xml")
    (mine / "annotations" / "more_two.xml").unlink()  # nothing in it is worth keeping
    words = ["--root", str(tmp_path), "--dataset", "mine", "--allow", "no_tubes", "empty_class"]
    assert main(["check", *words]) == 0
    assert register_custom_datasets() == ["mine_train"]
    found = {d["frame_index"]: d["annotations"] for d in DatasetCatalog.get("mine_train")}
    assert [len(found[frame]) for frame in (1, 9, 10, 11, 20)] == [1, 1, 1, 0, 0]
    [box] = found[5]
    assert box["category_id"] == 1  # circle
    x1, y1, _, _ = square_at(5)
    assert box["bbox"] == pytest.approx([x1, y1, x1 + SIDE, y1 + SIDE], abs=0.01)
    cfg = tiny_config(["DATASETS.TRAIN", ("mine_train",), "DATASETS.TEST", ()])
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    check_datasets(cfg)


def correct(path: Path) -> None:
    """It is a circle, it is exactly there, and it ends after frame 10."""
    tree = ElementTree.parse(path)
    [track] = tree.getroot().findall("track")
    assert len(track) < 20  # few boxes to move: it goes straight on
    track.set("label", "circle")
    for box in list(track):
        track.remove(box)
    for frame, outside in ((1, "0"), (10, "0"), (11, "1")):
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), edges(frame)))
        flags = {"outside": outside, "occluded": "0", "keyframe": "1"}
        ElementTree.SubElement(track, "box", {"frame": str(frame - 1)} | flags | corners)
    tree.write(path)


def edges(frame: int) -> list[str]:
    x1, y1, x2, y2 = square_at(frame)
    return [str(x1), str(y1), str(x2 + 1), str(y2 + 1)]
