"""A person who corrects files of CVAT, and knows the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from pcsc_d2.tubes import GroundTruth

Tube = tuple[str, int, np.ndarray]
"""Class, first frame from 1, and a box (inclusive) for each frame."""
# A track that overlaps an action by so much is worth moving; others are deleted.
_ENOUGH = 0.3
# Every so many frames a person draws a box; CVAT interpolates.
_KEY_FRAMES = 4


@dataclass
class Person:
    """Corrects tracks: deletes what is wrong, moves what is nearly right, draws what is missing.

    Attributes:
        truth: what the person sees in the videos.
        moved, deleted, drawn: how many tracks so far.
    """

    truth: GroundTruth
    moved: int = 0
    deleted: int = 0
    drawn: int = 0

    def correct(self, path: Path, video: str) -> None:
        """Correct the file of a video in its place."""
        tree = ElementTree.parse(path)
        root = tree.getroot()
        missing, length = self._tubes(video)
        for track in root.findall("track"):
            meant = next((tube for tube in missing if _overlap(track, tube) >= _ENOUGH), None)
            if meant is None:
                root.remove(track)
                self.deleted += 1
            else:
                missing = [tube for tube in missing if tube is not meant]
                _move(track, meant, length)
                self.moved += 1
        for i, tube in enumerate(missing):
            _move(ElementTree.SubElement(root, "track", {"id": str(1000 + i)}), tube, length)
            self.drawn += 1
        tree.write(path)

    def _tubes(self, video: str) -> tuple[list[Tube], int]:
        """What happens in a video, and how many frames it has."""
        tubes = self.truth.tubes
        number = self.truth.videos.tolist().index(video)
        labels, parts = tubes.labels[tubes.classes], np.split(tubes.boxes, tubes.ptr[1:-1])
        each = zip(tubes.video, labels.tolist(), tubes.start.tolist(), parts)
        return [tube for of, *tube in each if of == number], int(self.truth.nframes[number])


def _overlap(track: ElementTree.Element, tube: Tube) -> float:
    """The mean IoU of a track and a tube over the frames that one of them has."""
    _, start, boxes = tube
    keys = [box for box in track if box.get("outside") == "0"]
    at = [int(box.get("frame")) + 1 for box in keys]
    corners = [[float(box.get(name)) for name in ("xtl", "ytl", "xbr", "ybr")] for box in keys]
    frames = np.arange(at[0], at[-1] + 1)
    drawn = np.stack([np.interp(frames, at, side) for side in zip(*corners)], axis=1)
    both = np.intersect1d(frames, np.arange(start, start + len(boxes)))
    a, b = drawn[both - at[0]], boxes[both - start] + [0, 0, 1, 1]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.clip(sides, 0, None).prod(axis=1)
    areas = sum((x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b))
    return float((common / (areas - common)).sum() / (len(frames) + len(boxes) - len(both)))


def _move(track: ElementTree.Element, tube: Tube, length: int) -> None:
    """Make a track of a video of some length a tube."""
    label, start, boxes = tube
    for box in list(track):
        track.remove(box)
    track.set("label", label)
    last = len(boxes) - 1
    for i in sorted({*range(0, last, _KEY_FRAMES), last}):
        _add(track, start - 1 + i, boxes[i], "0")
    if start + last < length:
        _add(track, start + last, boxes[last], "1")


def _add(track: ElementTree.Element, frame: int, box: np.ndarray, outside: str) -> None:
    names, edges = ("xtl", "ytl", "xbr", "ybr"), box + np.array([0, 0, 1, 1])
    corners = {name: f"{edge:g}" for name, edge in zip(names, edges.tolist())}
    flags = {"outside": outside, "occluded": "0", "keyframe": "1"}
    ElementTree.SubElement(track, "box", {"frame": str(frame)} | flags | corners)
