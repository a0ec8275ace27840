"""Check annotations, repair what can be repaired safely, and count the changes by kind."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.video.decoding import DecodingRule
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.files import locate_videos
from pcsc_d2.video.reading import VideoSource

logger = logging.getLogger(__name__)


@dataclass
class AnnotationIssues:
    """What was found wrong, by video.

    Attributes:
        clipped: number of boxes that reached outside the image and were cut at its border.
        dropped: number of boxes that were inverted, empty, or outside the image altogether.
        beyond: number of boxes after the clip's last frame, left out.
        rows: by annotation file, the number of rows (tracks, annotations) that cannot be
            understood or are there twice, left out.
        frame_counts: annotated and actual number of frames where they differ.
        unannotated: names in a split list that the annotations lack.
        unreadable: why a video could not be read.
    """

    clipped: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    frame_counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    unannotated: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line for each kind that occurred, with the number and the first video."""
        lines = []
        for counts, what in (
            (self.clipped, "reach outside the image and are cut at its border"),
            (self.dropped, "are inverted, empty or outside the image and are left out"),
            (self.beyond, "are after their clip's last frame and are left out"),
        ):
            if counts:
                amount = f"{sum(counts.values())} boxes in {len(counts)} videos"
                lines.append(f"{amount} {what} (first: {next(iter(counts))})")
        if rows := +self.rows:
            amount = f"{rows.total()} rows in {len(rows)} annotation files"
            lines.append(f"{amount} cannot be used and are left out (first: {next(iter(rows))})")
        if self.frame_counts:
            name, (annotated, actual) = next(iter(self.frame_counts.items()))
            first = f"first: {name}, {annotated} annotated, {actual} there"
            lines.append(f"{len(self.frame_counts)} clips have another number of frames ({first})")
        if self.unannotated:
            amount = f"{len(self.unannotated)} listed videos"
            lines.append(f"{amount} are not annotated (first: {self.unannotated[0]})")
        if self.unreadable:
            first = f"first: {next(iter(self.unreadable.values()))}"
            lines.append(f"{len(self.unreadable)} videos cannot be read ({first})")
        return lines

    def log(self, source: str | os.PathLike[str]) -> None:
        """Warn, a line for each kind, in the name of a file or dataset."""
        for line in self.lines():
            logger.warning("%s: %s", source, line)


class RawTubes(NamedTuple):
    """Tubes as read, before their boxes are checked; the fields are those of ``Tubes``."""

    video: np.ndarray
    classes: np.ndarray
    start: np.ndarray
    ptr: np.ndarray
    boxes: np.ndarray


class Clip(NamedTuple):
    """What a clip really is: its number of frames, height and width in pixels."""

    frames: int
    height: int
    width: int


class LocatedClips(NamedTuple):
    """Clips in a folder.

    Attributes:
        paths: of those that are there.
        absent: names of those that are not.
        clips: those that are there and can be read.
    """

    paths: dict[str, Path]
    absent: list[str]
    clips: dict[str, Clip]


def checked_tubes(
    raw: RawTubes,
    videos: np.ndarray,
    labels: tuple[str, ...],
    nframes: np.ndarray,
    resolution: np.ndarray,
    issues: AnnotationIssues,
) -> Tubes:
    """Cut boxes at the image border, leave out those that cannot be; a tube is cut there.

    Args:
        raw: tubes with boxes in pixels, corners inclusive.
        videos, labels, nframes, resolution: as in ``GroundTruth``.
        issues: what was changed is counted here.
    """
    lengths = np.diff(raw.ptr)
    tube = np.repeat(np.arange(len(lengths)), lengths)
    frame = raw.start[tube] + np.arange(len(tube)) - raw.ptr[tube]
    video = raw.video[tube]
    corner = resolution[video][:, [1, 0, 1, 0]].astype(np.float32) - 1
    boxes = np.clip(raw.boxes, 0, corner)
    proper = (raw.boxes[:, :2] <= raw.boxes[:, 2:]).all(1)  # also False where a corner is NaN
    proper &= ((raw.boxes[:, 2:] >= 0) & (raw.boxes[:, :2] <= corner[:, 2:])).all(1)
    inside = (frame >= 1) & (frame <= nframes[video])
    _count(issues.dropped, videos, video[~proper])
    _count(issues.beyond, videos, video[proper & ~inside])
    keep = proper & inside
    _count(issues.clipped, videos, video[keep & (boxes != raw.boxes).any(1)])
    boxes, tube, frame = boxes[keep], tube[keep], frame[keep]
    first = np.flatnonzero(np.diff(tube, prepend=-1) | (np.diff(frame, prepend=-1) != 1))
    ptr = np.append(first, len(boxes))
    origin, scores = tube[first], np.ones(len(boxes), np.float32)
    return Tubes(
        videos,
        np.asarray(labels, np.str_),
        raw.video[origin],
        raw.classes[origin],
        scores[first],
        frame[first],
        ptr,
        boxes,
        scores,
    )


def clip_to_image(truth: GroundTruth, issues: AnnotationIssues) -> GroundTruth:
    """Ground truth with boxes inside the images; what was changed is counted in ``issues``."""
    return _rebuilt(truth, lambda tubes: tubes.boxes, truth.nframes, truth.resolution, issues)


def measure_clips(
    paths: Mapping[str, str | os.PathLike[str]], rule: DecodingRule, issues: AnnotationIssues
) -> dict[str, Clip]:
    """Frames and size of the clips by name; those that cannot be read go to ``issues``."""
    clips: dict[str, Clip] = {}
    for name, path in tqdm(paths.items(), desc="measuring clips", unit="video", delay=2):
        try:
            source = VideoSource(path, rule)
            clips[name] = Clip(len(source), *source.size)
        except VideoError as error:
            issues.unreadable[name] = str(error)
    return clips


def locate_clips(
    folder: Path, names: Iterable[str], rule: DecodingRule, issues: AnnotationIssues
) -> LocatedClips:
    """Look for the clips of some videos in a folder and measure those that are there."""
    found = locate_videos(folder, names)
    paths = {name: path for name, path in found.items() if path is not None}
    absent = [name for name, path in found.items() if path is None]
    return LocatedClips(paths, absent, measure_clips(paths, rule, issues))


def fit_to_clips(
    truth: GroundTruth, clips: Mapping[str, Clip], issues: AnnotationIssues
) -> GroundTruth:
    """Ground truth that fits the clips as they are.

    Boxes are scaled where a clip is of another size than the annotation (corners are inclusive:
    x2 + 1 is what scales), tubes are cut at a clip's last frame, and ``nframes`` is never more
    than there are.

    Args:
        truth: as annotated.
        clips: by name, see ``measure_clips``; videos that are not among them stay as they are.
        issues: what was changed is counted here.
    """
    annotated = np.column_stack([truth.nframes, truth.resolution])
    actual = np.array(
        [clips.get(name, row) for name, row in zip(truth.videos.tolist(), annotated.tolist())]
    ).reshape(-1, 3)
    for i in np.flatnonzero(actual[:, 0] != annotated[:, 0]):
        counts = int(annotated[i, 0]), int(actual[i, 0])
        issues.frame_counts[str(truth.videos[i])] = counts
    scale = (actual[:, [2, 1, 2, 1]] / annotated[:, [2, 1, 2, 1]]).astype(np.float32)

    def scaled(tubes: Tubes) -> np.ndarray:
        return scale_boxes(tubes.boxes, scale[tubes.video[tubes.box_tubes]])

    nframes = np.minimum(actual[:, 0], annotated[:, 0])
    return _rebuilt(truth, scaled, nframes, actual[:, 1:], issues)


def _rebuilt(
    truth: GroundTruth,
    scaled: Callable[[Tubes], np.ndarray],
    nframes: np.ndarray,
    resolution: np.ndarray,
    issues: AnnotationIssues,
) -> GroundTruth:
    """Ground truth with other boxes, checked."""

    def checked(old: Tubes, boxes: np.ndarray) -> Tubes:
        raw = RawTubes(old.video, old.classes, old.start, old.ptr, boxes)
        return checked_tubes(raw, truth.videos, truth.labels, nframes, resolution, issues)

    return replace(
        truth,
        nframes=nframes,
        resolution=resolution,
        tubes=checked(truth.tubes, scaled(truth.tubes)),
        crowds=None if truth.crowds is None else checked(truth.crowds, scaled(truth.crowds)),
    )


def _count(counter: Counter[str], videos: np.ndarray, rows: np.ndarray) -> None:
    counter.update({str(videos[i]): int(n) for i, n in zip(*np.unique(rows, return_counts=True))})
