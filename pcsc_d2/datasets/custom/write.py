"""Tubes written as one's own data is annotated: CSV, COCO-style JSON, CVAT's XML, or AVA's CSV.

What is read again is what was written (``tests/datasets/custom/test_round_trip.py``).
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pcsc_d2.datasets.custom.ava import write_ava
from pcsc_d2.datasets.custom.cvat_write import write_cvat
from pcsc_d2.datasets.custom.description import DESCRIPTION
from pcsc_d2.datasets.custom.written import WriteOptions, short, short_score, written_tubes
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import plain_cell


def write_csv(folder: Path, truth: GroundTruth, options: WriteOptions) -> None:
    """``annotations.csv``; columns for crowds and scores where there are such."""
    header = ["video", "frame", "track", "label", "x1", "y1", "x2", "y2"]
    crowds = truth.crowds is not None and len(truth.crowds) > 0
    header += ["iscrowd"] * crowds + ["score"] * options.scored
    with atomic_write(folder / "annotations.csv", "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for tube in written_tubes(truth, crowds):
            crowd = [int(tube.is_crowd)] * crowds
            for frame, box, score in zip(tube.frames.tolist(), tube.boxes, tube.scores):
                name, label = plain_cell(tube.video), plain_cell(tube.label)
                row = [name, frame, tube.number, label, *map(short, box), *crowd]
                writer.writerow(row + [short_score(score)] * options.scored)


def write_coco(folder: Path, truth: GroundTruth, options: WriteOptions) -> None:
    """``annotations.json``: an image a frame with boxes, an annotation a box, a track a tube."""
    names = truth.videos.tolist()
    sizes = zip(names, truth.nframes.tolist(), truth.resolution.tolist())
    ids = {name: i for i, name in enumerate(names, start=1)}
    images: dict[tuple[str, int], int] = {}
    annotations, tracks = [], []
    for tube in written_tubes(truth, crowds=True):
        about = {"track_id": tube.number, "category_id": truth.labels.index(tube.label) + 1}
        tracks.append(
            {"id": tube.number, "category_id": about["category_id"], "video_id": ids[tube.video]}
            | _scored(tube.score, options)
        )
        boxes = zip(tube.frames.tolist(), tube.boxes.tolist(), tube.scores.tolist())
        for frame, (x1, y1, x2, y2), score in boxes:
            image = images.setdefault((tube.video, frame), len(images) + 1)
            one = {"id": len(annotations) + 1, "image_id": image, **about}
            one |= {"bbox": [x1, y1, x2 - x1, y2 - y1]} | _scored(score, options)
            one |= {"iscrowd": 1} if tube.is_crowd else {}
            annotations.append(one)
    content = {
        "categories": [{"id": i, "name": name} for i, name in enumerate(truth.labels, start=1)],
        "videos": [
            {"id": ids[name], "name": name, "length": length, "height": height, "width": width}
            for name, length, (height, width) in sizes
        ],
        "images": [
            {"id": image, "video_id": ids[video], "frame_index": frame - 1}
            for (video, frame), image in images.items()
        ],
        "tracks": tracks,
        "annotations": annotations,
    }
    with atomic_write(folder / "annotations.json", "w") as file:
        json.dump(content, file)


def _scored(score: float, options: WriteOptions) -> dict[str, float]:
    return {"score": float(short_score(score))} if options.scored else {}


# Formats that have a place for regions of many.
WITH_CROWDS = ("csv", "coco")
WRITERS: dict[str, Callable[[Path, GroundTruth, WriteOptions], None]] = {
    "csv": write_csv,
    "coco": write_coco,
    "cvat": write_cvat,
    "ava": write_ava,
}


def write_own(
    folder: Path,
    truth: GroundTruth,
    videos: Mapping[str, Path],
    form: str,
    splits: Mapping[str, Sequence[str]],
    options: WriteOptions | None = None,
) -> None:
    """Write a dataset in the layout of one's own data.

    Args:
        folder: of the dataset, under a dataset root.
        truth: what is annotated.
        videos: name -> file; linked where the file system can (hard links), else copied.
        form: a key of ``WRITERS``.
        splits: as in ``dataset.json``.
        options: how; None writes what is there, every frame of it.
    """
    for name, path in videos.items():
        _place(path, folder / "videos" / name)
    WRITERS[form](folder, truth, options or WriteOptions())
    description = {"labels": list(truth.labels), "splits": {k: list(v) for k, v in splits.items()}}
    with atomic_write(folder / DESCRIPTION, "w") as file:
        file.write(json.dumps(description, indent=1) + "\n")


def _place(path: Path, target: Path) -> None:
    """Link or copy a video, or a folder of frames, to a place without suffix."""
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_link, dirs_exist_ok=True)
        return
    target = target.with_name(f"{target.name}{path.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    _link(path, target)


def _link(path: str | Path, target: str | Path) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        with atomic_write(target) as file:
            file.write(Path(path).read_bytes())
