"""Ground truth written as one's own data is annotated: CSV, COCO-style JSON, or CVAT's XML."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pcsc_d2.datasets.custom.description import DESCRIPTION
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.boxes import to_exclusive
from pcsc_d2.utils.files import atomic_write


def write_csv(folder: Path, truth: GroundTruth) -> None:
    """``annotations.csv``."""
    with atomic_write(folder / "annotations.csv", "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frame", "track", "label", "x1", "y1", "x2", "y2"])
        for video, track, label, frames, boxes in _rows(truth):
            for frame, box in zip(frames.tolist(), boxes):
                writer.writerow([video, frame, track, label, *(_short(v) for v in box)])


def write_coco(folder: Path, truth: GroundTruth) -> None:
    """``annotations.json``: an image a frame with boxes, an annotation a box."""
    names = truth.videos.tolist()
    sizes = zip(names, truth.nframes.tolist(), truth.resolution.tolist())
    ids = {name: i for i, name in enumerate(names, start=1)}
    images: dict[tuple[str, int], int] = {}
    annotations = []
    for video, track, label, frames, boxes in _rows(truth):
        for frame, (x1, y1, x2, y2) in zip(frames.tolist(), boxes.tolist()):
            image = images.setdefault((video, frame), len(images) + 1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "track_id": track,
                    "category_id": truth.labels.index(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
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
        "annotations": annotations,
    }
    with atomic_write(folder / "annotations.json", "w") as file:
        json.dump(content, file)


def write_cvat(folder: Path, truth: GroundTruth) -> None:
    """``annotations/<video>.xml``, "CVAT for video 1.1", one for each video."""
    rows = list(_rows(truth))
    for i, video in enumerate(truth.videos.tolist()):
        root = ElementTree.Element("annotations")
        ElementTree.SubElement(root, "version").text = "1.1"
        task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
        ElementTree.SubElement(task, "name").text = video
        ElementTree.SubElement(task, "size").text = str(truth.nframes[i])
        size = ElementTree.SubElement(task, "original_size")
        for name, value in zip(("height", "width"), truth.resolution[i].tolist()):
            ElementTree.SubElement(size, name).text = str(value)
        ElementTree.SubElement(task, "source").text = f"{video}.mp4"
        for name, number, label, frames, boxes in rows:
            if name == video:
                _cvat_track(root, number, label, frames.tolist(), boxes.tolist(), truth.nframes[i])
        ElementTree.indent(root)
        with atomic_write(folder / "annotations" / f"{video.replace('/', '_')}.xml") as file:
            ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _cvat_track(
    root: ElementTree.Element,
    number: int,
    label: str,
    frames: Sequence[int],
    boxes: Sequence[Sequence[float]],
    length: int,
) -> None:
    track = ElementTree.SubElement(root, "track", id=str(number), label=label, source="manual")
    shown = [(frame - 1, box, "0") for frame, box in zip(frames, boxes)]
    if frames[-1] < length:
        shown.append((frames[-1], boxes[-1], "1"))
    for frame, box, outside in shown:
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(_short, box)))
        flags = {"frame": str(frame), "outside": outside, "occluded": "0", "keyframe": "1"}
        ElementTree.SubElement(track, "box", flags | corners)


def _rows(truth: GroundTruth) -> Iterator[tuple[str, int, str, np.ndarray, np.ndarray]]:
    """Video, tube number, label, frames (n,) from 1, and boxes (n, 4) as edges of every tube."""
    tubes = truth.tubes
    for i in range(len(tubes)):
        boxes = to_exclusive(tubes.boxes[tubes.ptr[i] : tubes.ptr[i + 1]].astype(float))
        frames = tubes.start[i] + np.arange(len(boxes))
        video, label = tubes.videos[tubes.video[i]], truth.labels[tubes.classes[i]]
        yield str(video), i + 1, str(label), frames, boxes


def _short(value: float) -> str:
    # Nine digits tell every 32-bit float apart.
    return f"{value:.9g}"


WRITERS: dict[str, Callable[[Path, GroundTruth], None]] = {
    "csv": write_csv,
    "coco": write_coco,
    "cvat": write_cvat,
}


def write_own(
    folder: Path,
    truth: GroundTruth,
    videos: Mapping[str, Path],
    form: str,
    splits: Mapping[str, Sequence[str]],
) -> None:
    """Write a dataset in the layout of one's own data.

    Args:
        folder: of the dataset, under a dataset root.
        truth: what is annotated.
        videos: name -> file; linked where the file system can (hard links), else copied.
        form: a key of ``WRITERS``.
        splits: as in ``dataset.json``.
    """
    for name, path in videos.items():
        target = folder / "videos" / f"{name}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            with atomic_write(target) as file:
                file.write(path.read_bytes())
    WRITERS[form](folder, truth)
    description = {"labels": list(truth.labels), "splits": {k: list(v) for k, v in splits.items()}}
    with atomic_write(folder / DESCRIPTION, "w") as file:
        file.write(json.dumps(description, indent=1) + "\n")
