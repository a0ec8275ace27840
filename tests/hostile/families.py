"""The families of hostile inputs: each makes an input in a folder and says who is to read it."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io

from pcsc_d2.datasets.annotations import read_annotations, read_puppet_masks, read_video_list
from pcsc_d2.datasets.archives import unpack
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.flow.codec import FlowFile, write_flow_file
from pcsc_d2.flow.conversion import flow_files, read_flow
from pcsc_d2.video import VideoSource, read_frames
from tests.hostile import inputs
from tests.hostile.base import Base, Family, Work, written
from tests.hostile.model_files import model_families
from tests.hostile.results import result_families

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


def _dataset(folder: Path, base: Base, name: str, data: bytes) -> tuple[Path, Work]:
    own = folder / "mine"
    (own / "videos").mkdir(parents=True)
    (own / "videos" / "a.mp4").write_bytes(base.videos[".mp4"])
    (own / "dataset.json").write_text('{"splits": {"train": ["*"]}}')
    if name == "dataset.json":
        rows = "\n".join(",".join(map(str, row)) for row in ROWS)
        (own / "annotations.csv").write_text(rows)
    return written(own / name, data), ["check", "--root", folder]


def rows_of_csv(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.csv", inputs.csv_text(ROWS, rng))


def coco(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.json", inputs.json_text(COCO, rng))


def cvat(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return _dataset(folder, base, "annotations.xml", inputs.xml_text(CVAT, rng))


def zipped_cvat(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as made:
        made.writestr(rng.choice(["annotations.xml"] * 4 + ["a.xml"]), CVAT)
    data = inputs.changed_zip(file.getvalue(), rng) if rng.random() < 0.5 else file.getvalue()
    return _dataset(folder, base, "annotations.zip", inputs.damaged(data, rng))


def archives(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    names = [
        "a.mp4",
        "run/a.mp4",
        "../ran.mp4",
        "/ran.mp4",
        "..\\ran.mp4",
        "run/._a.mp4",
        "a" * 300 + ".mp4",
    ]
    file, chosen, suffix = io.BytesIO(), rng.sample(names, 2), rng.choice([".zip", ".tar.gz"])
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as made:
            for name in chosen:
                made.writestr(name, base.videos[".mp4"])
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as made:
            for name in chosen:
                info = tarfile.TarInfo(name)
                info.size = len(base.videos[".mp4"])
                info.type = rng.choice([tarfile.REGTYPE] * 4 + [tarfile.SYMTYPE, tarfile.CHRTYPE])
                info.linkname = "/etc/passwd"
                made.addfile(info, io.BytesIO(base.videos[".mp4"]))
    data = file.getvalue()
    path = written(folder / f"x{suffix}", inputs.damaged(data, rng) if rng.random() < 0.7 else data)
    (folder / "into").mkdir()
    return path, lambda: unpack(path, folder / "into" / "deep")


def description(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    content = {"labels": ["run"], "splits": {"train": ["*"]}, "first_frame": 1, "max_gap": 1}
    return _dataset(folder, base, "dataset.json", inputs.json_text(content, rng))


def tubes(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = written(folder / "some.npz", inputs.array_file(base.tubes, rng))
    return path, rng.choice([["show", path], ["convert", path, folder / "out.csv"]])


def detections(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    path = written(folder / "some.npz", inputs.array_file(base.detections, rng))
    return path, ["link", "--detections", path, "--out", folder / "out.npz"]


def truth(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    return (path := written(folder / "gt.pkl", inputs.pickled(base.truth, rng))), ["show", path]


def act_pickles(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = written(folder / "good.pkl", pickle.dumps(base.truth))
    (folder / "run" / "a").mkdir(parents=True)
    table = {1: np.float32([[1, 2, 30, 40, 0.5]]), 2: np.zeros((0, 5), np.float32)}
    for frame in (1, 2, 3):
        (folder / "run" / "a" / f"{frame:05}.pkl").write_bytes(inputs.pickled(table, rng))
    out = folder / "out.npz"
    return folder, ["convert", folder, out, "--ground-truth", good]


def coco_results(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = written(folder / "good.pkl", pickle.dumps(base.truth))
    box = {"image_id": "run/a/1", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    path = written(folder / "found.json", inputs.json_text([box, box], rng))
    return path, ["convert", path, folder / "out.npz", "--ground-truth", good]


def results(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    good = written(folder / "good.json", json.dumps(RESULTS).encode())
    path = written(folder / "bad.json", inputs.json_text(RESULTS, rng))
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
    path = written(folder / "00001.flo", inputs.damaged(data, rng))
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


def puppet_masks(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    masks, splits = folder / "masks", folder / "splits"
    path = masks / "run" / "a" / "puppet_mask.mat"
    path.parent.mkdir(parents=True)
    splits.mkdir()
    (splits / "run_test_split1.txt").write_text("a.avi 1\n")
    mask = rng.choice([np.ones((8, 9, 3), np.uint8), np.zeros((8, 9)), np.ones(5), np.array("x")])
    name = rng.choice(["part_mask"] * 5 + ["mask"])
    scipy.io.savemat(path, {name: mask}, do_compression=rng.random() < 0.5)
    path.write_bytes(inputs.damaged(path.read_bytes(), rng))
    return path, lambda: read_puppet_masks(masks, splits)


def split_lists(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    values = [
        "a.avi 1",
        "a.avi 2",
        "run/a.avi 1",
        "",
        "a.avi",
        "a.avi x",
        "../a 1",
        "/a 1",
        "a 1 2",
    ]
    data = "\n".join(rng.choices(values, k=3)).encode()
    path = folder / "splits" / "run_test_split1.txt"
    path.parent.mkdir()
    written(path, inputs.damaged(data, rng) if data and rng.random() < 0.5 else data)
    mask = folder / "masks" / "run" / "a" / "puppet_mask.mat"
    mask.parent.mkdir(parents=True)
    scipy.io.savemat(mask, {"part_mask": np.ones((8, 9, 3), np.uint8)})
    masks = folder / "masks"
    return path, rng.choice(
        [lambda: read_video_list(path), lambda: read_puppet_masks(masks, path.parent)]
    )


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
    path = written(folder / f"v{suffix}", inputs.video(base.videos[suffix], rng))
    return path, lambda: _walk(path, rng)


def damaged_middle(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    data, size = bytearray(base.long), len(base.long)
    begin = rng.randrange(size // 5, size // 2)
    length = rng.choice([1, 30, 3000])
    data[begin : begin + length] = rng.choice([bytes(length), rng.randbytes(length)])
    path = written(folder / "v.mp4", bytes(data))
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
    **{f.__name__: f for f in (rows_of_csv, coco, cvat, zipped_cvat, description)},
    **{f.__name__: _of_tubes(f) for f in (
        tubes, detections, truth, act_pickles, coco_results, results)},
    **{f.__name__: f for f in (
        flow_file, foreign_flow, matlab, puppet_masks, split_lists, archives, videos,
        damaged_middle, frame_folders, names, summaries)},
    **model_families(),
    **result_families(),
}  # fmt: skip
