"""What the actionness head learns from, on disk: one file a video, its linked tubes with how much
their boxes overlap the ground truth, and the ROI features of their boxes in half precision."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from pcsc_d2.tubes import Detections, Tubes
from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.assembly import join_videos, runs
from pcsc_d2.utils.files import load_arrays, save_arrays

TUBE_FIELDS = tuple(f.name for f in fields(Tubes) if f.name != "actionness")
DETECTION_FIELDS = tuple(f.name for f in fields(Detections) if f.name != "actionness")
FEATURES, DETECTIONS = "features_", "detections_"
OTHER, CONFUSING, POSITIVE = range(3)


@dataclass(frozen=True, eq=False)
class VideoSamples:
    """The tubes of one video.

    Attributes:
        tubes: as linked, without actionness.
        rows: (M,) int64, the detection (row of the features) behind each box; a box that fills a
            gap has that of the found box whose copy it is.
        found: (M,) bool, False for boxes that fill gaps: they are no samples.
        overlaps: (M,) float64, see ``tubes.truth_overlaps``.
    """

    tubes: Tubes
    rows: np.ndarray
    found: np.ndarray
    overlaps: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """(M,) class of each box's tube."""
        return self.tubes.classes[self.tubes.box_tubes].astype(np.int64)

    def groups(self, label_iou: float) -> np.ndarray:
        """(M,) int64: ``POSITIVE`` (it overlaps its action by more than an IoU, as
        ``tubes.label_boxes`` has it), ``CONFUSING`` (a negative box of a tube that holds positive
        ones) or ``OTHER`` (a box of a tube that holds none)."""
        positive = self.overlaps > label_iou
        holds_positive = np.zeros(len(self.tubes), bool)
        holds_positive[self.tubes.box_tubes[positive]] = True
        negative = np.where(holds_positive[self.tubes.box_tubes], CONFUSING, OTHER)
        return np.where(positive, POSITIVE, negative)

    def extents(self, label_iou: float) -> np.ndarray:
        """(M,) bool, where a tube is at its action: runs of boxes that overlap it at all, if one of
        them is ``POSITIVE``. Unlike the groups, it does not change where boxes are loose for a
        while."""
        begins, ends = runs(self.tubes, self.overlaps > 0)
        positives = np.append(0, np.cumsum(self.overlaps > label_iou))
        holds_positive = positives[ends] > positives[begins]
        inside = np.zeros(len(self.overlaps), bool)
        inside[ranges(begins[holds_positive], (ends - begins)[holds_positive])] = True
        return inside

    def save(
        self,
        path: str | os.PathLike[str],
        features: dict[str, np.ndarray],
        detections: Detections | None = None,
    ) -> None:
        """Write them with their features (K, C, S, S) of one or more kinds, and with all
        detections of the video where they are to be linked in other ways; atomically."""
        columns = {name: getattr(self.tubes, name) for name in TUBE_FIELDS}
        columns |= {"rows": self.rows, "found": self.found, "overlaps": self.overlaps}
        columns |= {FEATURES + k: v.astype(np.float16) for k, v in features.items()}
        if detections is not None:
            columns |= {DETECTIONS + k: getattr(detections, k) for k in DETECTION_FIELDS}
        save_arrays(path, columns)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VideoSamples:
        """Read all but the features; ValueError names a damaged file."""
        names = (*TUBE_FIELDS, "rows", "found", "overlaps")
        arrays = load_arrays(path, names)
        tubes = Tubes(**{name: arrays[name] for name in TUBE_FIELDS})
        return cls(tubes, arrays["rows"], arrays["found"], arrays["overlaps"])


def load_features(path: str | os.PathLike[str], kind: str) -> np.ndarray:
    """(K, C, S, S) float16; ValueError names a file that is damaged or lacks them."""
    return load_arrays(path, (FEATURES + kind,))[FEATURES + kind]


def load_detections(path: str | os.PathLike[str]) -> Detections:
    """All detections of a video, of a file that was told to keep them."""
    arrays = load_arrays(path, tuple(DETECTIONS + k for k in DETECTION_FIELDS))
    return Detections(**{k: arrays[DETECTIONS + k] for k in DETECTION_FIELDS})


def all_tubes(
    samples: Sequence[VideoSamples], actionness: Sequence[np.ndarray] | None = None
) -> Tubes:
    """The tubes of videos that were linked one by one, as one set; with the actionness (M,) of
    each video's boxes where it is given."""
    if actionness is None:
        return join_videos([s.tubes for s in samples])
    return join_videos([replace(s.tubes, actionness=a) for s, a in zip(samples, actionness)])


@dataclass(frozen=True, eq=False)
class Shard:
    """Samples that are in memory at a time.

    Attributes:
        features: (n, C, S, S) float16.
        classes: (n,) int64.
        groups: (n,) int64, see ``VideoSamples.groups``.
    """

    features: np.ndarray
    classes: np.ndarray
    groups: np.ndarray


class SampleStore:
    """The samples of some files, read in shards of bounded memory.

    Args:
        files: of ``VideoSamples``.
        kind: of features.
        memory_bytes: features in memory at most, but one video's in any case. Where all fit, they
            are read once.
        label_iou: over which a box is positive.
    """

    def __init__(
        self, files: Sequence[Path], kind: str, memory_bytes: int, label_iou: float
    ) -> None:
        self.files = list(files)
        self.kind = kind
        self._label_iou = label_iou
        self.samples = [VideoSamples.load(path) for path in self.files]
        filled = [k for k, s in enumerate(self.samples) if s.found.any()]
        self._groups = _group(filled, [self.files[k].stat().st_size for k in filled], memory_bytes)
        self._only: Shard | None = None

    def __len__(self) -> int:
        return len(self._groups)

    def shard(self, i: int) -> Shard:
        """The i-th shard."""
        if self._only is not None:
            return self._only
        parts = [self._read(k) for k in self._groups[i]]
        shard = Shard(*(np.concatenate(column) for column in zip(*parts)))
        if len(self) == 1:
            self._only = shard
        return shard

    def shards(self) -> Iterator[Shard]:
        """All of them, in order."""
        return map(self.shard, range(len(self)))

    def counts(self, num_classes: int) -> np.ndarray:
        """(num_classes, 3) boxes by class and group."""
        counts = np.zeros((num_classes, 3), np.int64)
        for s in self.samples:
            groups = s.groups(self._label_iou)
            np.add.at(counts, (s.classes[s.found], groups[s.found]), 1)
        return counts

    def _read(self, k: int) -> tuple[np.ndarray, ...]:
        s = self.samples[k]
        boxes = np.flatnonzero(s.found)
        features = load_features(self.files[k], self.kind)[s.rows[boxes]]
        return features, s.classes[boxes], s.groups(self._label_iou)[boxes]


def _group(items: list[int], sizes: list[int], limit: int) -> list[list[int]]:
    """Neighbours in groups of at most ``limit`` in sum, or of a single larger one."""
    groups: list[list[int]] = []
    used = 0
    for item, size in zip(items, sizes):
        if not groups or used + size > limit:
            groups.append([])
            used = 0
        groups[-1].append(item)
        used += size
    return groups
