"""The families of hostile inputs: each makes an input in a folder and says who is to read it."""

from __future__ import annotations

import json
import os
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from pcsc_d2.datasets.annotations import read_annotations
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.flow.codec import FlowFile, write_flow_file
from pcsc_d2.flow.conversion import flow_files, read_flow
from pcsc_d2.models.metadata import from_json
from pcsc_d2.video import VideoSource, read_frames
from tests.hostile import inputs
from tests.tube_makers import build_tubes

# A command line, or a function that reads.
Work = list[Any] | Callable[[], object]
Family = Callable[[Path, random.Random, "Base"], tuple[Path, Work]]

ROWS = [
    ["video", "frame", "track", "label", "x1", "y1", "x2", "y2"],
    *(["a", f, 1, "run", 10, 10, 30, 30] for f in range(1, 6)),
]
COCO = {
    "categories": [{"id": 1, "name": "run"}],
    "videos": [{"id": 1, "name": "a.mp4", "width": 64, "height": 48, "length": 8}],
    "images": [{"id": i, "video_id": 1, "frame_index": i} for i in range(3)],
    "annotations": [
        {"id": i, "image_id": i, "track_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
        for i in range(3)
    ],
}
CVAT = """<annotations><meta><task><id>1</id><name>a</name><original_size><width>64</width>
<height>48</height></original_size><source>a.mp4</source></task></meta>
<track id="0" label="run"><box frame="0" xtl="1" ytl="2" xbr="30" ybr="40" outside="0"
rotation="0"/><box frame="3" xtl="1" ytl="2" xbr="30" ybr="40" outside="0"/></track></annotations>
"""
RESULTS = {
    "protocol": "act", "unit": "percent", "frame": {"0.5": 50.0}, "video": {"0.2": 40.0},
    "per_class": {"frame": {"0.5": {"run": 50.0}}}, "stages": {"1": {"AP50": 1.0}},
}  # fmt: skip
METADATA = {
    "format": 3, "labels": ["a", "b"], "clip_length": 8, "min_size": 64, "max_size": 100,
    "flow_method": "dis", "flow_bound": 20.0, "link": {}, "refine": None, "device": "cpu",
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """Good inputs that the hostile ones are made of.

    Attributes:
        videos: bytes by suffix.
        tubes, detections: arrays of such files.
        truth: what a pickle of ground truth holds.
    """

    videos: dict[str, bytes]
    tubes: dict[str, np.ndarray]
    detections: dict[str, np.ndarray]
    truth: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, encode: Callable, gray: Callable) -> Base:
        """Encode and gather them, once."""
        codecs = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video"}
        videos = {
            suffix: encode(folder / f"a{suffix}", gray(8), codec).read_bytes()
            for suffix, codec in codecs.items()
        }
        build_tubes([(0, 1, 0.5, 1, [[1, 2, 30, 40]] * 5)]).save(folder / "tubes.npz")
        with np.load(folder / "tubes.npz") as file:
            tubes = dict(file)
        return cls(videos, tubes, _detections(), _truth())


def _detections() -> dict[str, np.ndarray]:
    return {
        "videos": np.array(["a", "b"]),
        "labels": np.array(["run", "jump"]),
        "nframes": np.array([2, 1], np.int32),
        "video_ptr": np.array([0, 2, 3]),
        "frame_ptr": np.array([0, 1, 2, 3]),
        "boxes": np.float32([[1, 2, 30, 40]] * 3),
        "scores": np.float32([0.5, 0.4, 0.3]),
        "classes": np.int16([0, 1, 0]),
    }


def _truth() -> dict[str, Any]:
    tube = np.float32([[f, 1, 2, 30, 40] for f in range(1, 5)])
    return {
        "labels": ["run", "jump"],
        "gttubes": {"run/a": {0: [tube, tube[:2]]}},
        "nframes": {"run/a": 8},
        "train_videos": [["run/a"]],
        "test_videos": [["run/a"]],
        "resolution": {"run/a": (48, 64)},
    }


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _dataset(folder: Path, base: Base, name: str, data: bytes) -> tuple[Path, Work]:
    own = folder / "mine"
    (own / "videos").mkdir(parents=True)
    (own / "videos" / "a.mp4").write_bytes(base.videos[".mp4"])
    (own / "dataset.json").write_text('{"splits": {"train": ["*"]}}')
    if name == "dataset.json":
        rows = "\n".join(",".join(map(str, row)) for row in ROWS)
        (own / "annotations.csv").write_text(rows)
    return _written(own / name, data), ["check", "--root", folder]


def rows_of_csv(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.csv", inputs.csv_text(ROWS, rng))


def coco(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.json", inputs.json_text(COCO, rng))


def cvat(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.xml", inputs.xml_text(CVAT, rng))


def description(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    content = {"labels": ["run"], "splits": {"train": ["*"]}, "first_frame": 1, "max_gap": 1}
    return _dataset(folder, base, "dataset.json", inputs.json_text(content, rng))


def tubes(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = _written(folder / "some.npz", inputs.array_file(base.tubes, rng))
    return path, rng.choice([["show", path], ["convert", path, folder / "out.csv"]])


def detections(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = _written(folder / "some.npz", inputs.array_file(base.detections, rng))
    return path, ["link", "--detections", path, "--out", folder / "out.npz"]


def truth(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return (path := _written(folder / "gt.pkl", inputs.pickled(base.truth, rng))), ["show", path]


def act_pickles(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = _written(folder / "good.pkl", pickle.dumps(base.truth))
    (folder / "run" / "a").mkdir(parents=True)
    table = {1: np.float32([[1, 2, 30, 40, 0.5]]), 2: np.zeros((0, 5), np.float32)}
    for frame in (1, 2, 3):
        (folder / "run" / "a" / f"{frame:05}.pkl").write_bytes(inputs.pickled(table, rng))
    out = folder / "out.npz"
    return folder, ["convert", folder, out, "--ground-truth", good]


def coco_results(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = _written(folder / "good.pkl", pickle.dumps(base.truth))
    box = {"image_id": "run/a/1", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = _written(folder / "found.json", inputs.json_text([box, box], rng))
    return path, ["convert", path, folder / "out.npz", "--ground-truth", good]


def results(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = _written(folder / "good.json", json.dumps(RESULTS).encode())
    path = _written(folder / "bad.json", inputs.json_text(RESULTS, rng))
    return path, ["average", good, path]


def flow_file(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path, kind = folder / "flow.zip", rng.choice([np.uint8, np.float16])
    meta = {"size": [8, 8], "rule": "coded"}
    write_flow_file(path, [np.zeros((8, 8, 2), kind)] * 2, inputs.changed(meta, rng))
    if rng.random() < 0.8:
        path.write_bytes(inputs.damaged(path.read_bytes(), rng))
    return path, lambda: FlowFile(path).read([0, 1])


def foreign_flow(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    data = np.float32(202021.25).tobytes() + np.int32([4, 3]).tobytes() + bytes(96)
    path = _written(folder / "00001.flo", inputs.damaged(data, rng))
    return path, lambda: [read_flow(files) for files in flow_files(folder)]


def matlab(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = folder / "finalAnnots.mat"
    box = {"ef": 2, "sf": 1, "label": 0, "boxes": np.ones((2, 4))}
    annot = {"name": "run/a", "num_imgs": 8, "tubes": box}
    holder = rng.choice([annot, box])
    if rng.random() < 0.5:
        holder[rng.choice(list(holder))] = rng.choice([0, -1, "x", np.zeros((0, 4)), 1e9])
    scipy.io.savemat(path, {"annot": annot})
    if rng.random() < 0.5:
        path.write_bytes(inputs.damaged(path.read_bytes(), rng))
    return path, lambda: read_annotations(path)


def metadata(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    text = inputs.json_text(METADATA, rng)

    def read() -> None:
        try:
            from_json(text)
        except ValueError as error:  # the archive's reader puts the name before it
            raise ValueError(f"{folder / 'pcsc_d2.json'}: {error}") from None

    return folder / "pcsc_d2.json", read


def _walk(path: Path, rng: random.Random) -> None:
    """All readers of a video agree on it: a walk, the count and some frames at random."""
    rule = rng.choice(["coded", "constant_rate"])
    source = VideoSource(path, rule)
    walked = sum(1 for _ in source)
    assert len(source) == walked, f"{walked} frames, {len(source)} counted"
    if walked:
        wanted = [rng.randrange(walked) for _ in range(3)]
        assert len(read_frames(path, wanted, rule)) == 3


def videos(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    suffix = rng.choice(list(base.videos))
    path = _written(folder / f"v{suffix}", inputs.video(base.videos[suffix], rng))
    return path, lambda: _walk(path, rng)


def frame_folders(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = folder / "frames"
    inputs.folder_of_frames(path, rng)
    return path, lambda: _walk(path, rng)


def names(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    paths = [Path(os.fsdecode(bytes(folder) + b"/" + inputs.file_name(rng))) for _ in range(5)]
    for path in paths:
        path.write_bytes(base.videos[".mkv"])

    def read() -> None:
        tasks = find_tasks([str(folder), *map(str, paths)], 0.0, float("inf"))
        assert len({task.folder.casefold() for task in tasks}) == len(tasks)
        for task in tasks:
            assert task.name.isprintable()
            assert sum(1 for _ in task.open(folder)) == 8
            (folder / "out" / task.folder).mkdir(parents=True)

    return paths[0], read


def summaries(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    tube = {
        "tube": 1, "label": "run", "score": 0.5, "start": 0.0, "end": 1.0, "start_frame": 1,
        "end_frame": 5,
    }  # fmt: skip
    content = {
        "video": "a", "height": 48, "width": 64, "frames": 8, "start": 0.0, "end": 1.0,
        "problem": "", "model": "m", "stamp": {}, "tubes": [tube],
    }  # fmt: skip
    path = folder / "one" / "summary.json"
    path.parent.mkdir()
    path.write_bytes(inputs.json_text(content, rng))

    def read() -> None:
        from pcsc_d2.detect.page import write_page

        summary = Summary.load(path)
        write_page(folder / "index.html", {} if summary is None else {"one": summary}, [])

    return path, read


def _of_tubes(family: Family) -> Family:
    def made(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
        path, words = family(folder, rng, base)
        return path, ["tubes", *words]

    return made


FAMILIES: dict[str, Family] = {
    **{f.__name__: f for f in (rows_of_csv, coco, cvat, description)},
    **{f.__name__: _of_tubes(f) for f in (
        tubes, detections, truth, act_pickles, coco_results, results)},
    **{f.__name__: f for f in (
        flow_file, foreign_flow, matlab, metadata, videos, frame_folders, names, summaries)},
}  # fmt: skip
