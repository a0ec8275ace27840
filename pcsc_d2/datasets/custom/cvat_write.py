"""The XML that CVAT takes as "CVAT for video 1.1"; ``cvat`` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from pcsc_d2.datasets.custom.thinning import key_frames
from pcsc_d2.datasets.custom.written import (
    WriteOptions,
    WrittenTube,
    short,
    short_score,
    written_tubes,
)
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.files import atomic_write

# What a task's labels are made from: pasted into CVAT's "Raw" tab.
LABELS = "cvat-labels.json"
_SCORE = {"name": "score", "mutable": "False", "input_type": "text", "default_value": ""}


def write_cvat(folder: Path, truth: GroundTruth, options: WriteOptions) -> None:
    """``annotations/<video>.xml``, one for each video.

    A tube is a track of its class. With ``tolerance`` only key frames are written, between which
    CVAT interpolates. Scores are attributes of every key frame, which is where CVAT looks for
    them, and ``cvat-labels.json`` has the labels that its task needs.
    """
    tubes: dict[str, list[WrittenTube]] = {name: [] for name in truth.videos.tolist()}
    for tube in written_tubes(truth):
        tubes[tube.video].append(tube)
    for i, (video, name) in enumerate(zip(tubes, _file_names(tubes))):
        root = Element("annotations")
        SubElement(root, "version").text = "1.1"
        size = truth.resolution[i].tolist()
        _add_meta(root, video, int(truth.nframes[i]), size, truth.labels, options)
        for number, tube in enumerate(tubes[video]):
            _add_track(root, number, tube, int(truth.nframes[i]), options)
        ElementTree.indent(root)
        with atomic_write(folder / "annotations" / f"{name}.xml") as file:
            ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    if options.scored:
        with atomic_write(folder / LABELS, "w") as file:
            json.dump([_raw_label(label) for label in truth.labels], file, indent=1)


def _file_names(videos: Iterable[str]) -> list[str]:
    """A name without folders for each video; two that would be the same are told apart."""
    names: list[str] = []
    taken: set[str] = set()
    for video in videos:
        name = plain = video.replace("/", "_")
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _raw_label(label: str) -> dict[str, object]:
    attribute = _SCORE | {"mutable": False, "values": [""]}
    return {"name": label, "attributes": [attribute]}


def _add_meta(
    root: Element,
    video: str,
    frames: int,
    size: Sequence[int],
    labels: Sequence[str],
    options: WriteOptions,
) -> None:
    task = SubElement(SubElement(root, "meta"), "task")
    _add_texts(task, {"name": video, "size": str(frames), "mode": "interpolation"})
    of_task = SubElement(task, "labels")
    for label in labels:
        one = SubElement(of_task, "label")
        _add_texts(one, {"name": label})
        attributes = SubElement(one, "attributes")
        if options.scored:
            _add_texts(SubElement(attributes, "attribute"), _SCORE | {"values": ""})
    original = SubElement(task, "original_size")
    _add_texts(original, dict(zip(("height", "width"), map(str, size))))
    _add_texts(task, {"source": f"{video}.mp4"})


def _add_texts(parent: Element, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        SubElement(parent, name).text = text


def _add_track(
    root: Element, number: int, tube: WrittenTube, length: int, options: WriteOptions
) -> None:
    source = "auto" if options.scored else "manual"
    track = SubElement(root, "track", id=str(number), label=tube.label, source=source)
    last = int(tube.frames[-1])
    kept = np.arange(len(tube.boxes))
    if options.tolerance is not None:
        kept = key_frames(tube.boxes, options.tolerance)
    shown = [(int(tube.frames[i]) - 1, tube.boxes[i], "0") for i in kept]
    if last < length:  # else it would stay to the end
        shown.append((last, tube.boxes[-1], "1"))
    for frame, box, outside in shown:
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(short, box)))
        flags = {"frame": str(frame), "outside": outside, "occluded": "0", "keyframe": "1"}
        element = SubElement(track, "box", flags | corners | {"z_order": "0"})
        if options.scored:
            SubElement(element, "attribute", name="score").text = short_score(tube.score)
