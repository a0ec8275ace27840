"""Ground-truth tubes with the splits of their dataset, and the pickle that holds them."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pcsc_d2.tubes import checks
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.utils import files as io
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.pickles import restricted_load

_KEYS = ("labels", "gttubes", "nframes", "train_videos", "test_videos", "resolution")


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What happens where in the videos of a dataset.

    Attributes:
        labels: class names.
        videos: (V,) names.
        nframes: (V,) int32.
        resolution: (V, 2) int32, height and width.
        tubes: their ``video`` indexes ``videos``; ``score`` and ``box_scores`` are 1, unless a
            detector found them.
        train: for each split, names of training videos.
        test: for each split, names of test videos.
        crowds: regions in which nobody is annotated one by one, as tubes of the same videos and
            labels: nothing is learnt there, and what is found there is neither right nor wrong.
            None where there are none.

    Raises:
        ValueError: shapes or names that disagree, or a tube that ends after its video.
    """

    labels: tuple[str, ...]
    videos: np.ndarray
    nframes: np.ndarray
    resolution: np.ndarray
    tubes: Tubes
    train: list[list[str]]
    test: list[list[str]]
    crowds: Tubes | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("videos", np.str_), ("nframes", np.int32), ("resolution", np.int32)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        object.__setattr__(self, "labels", tuple(self.labels))
        count = len(self.videos)
        checks.check_shape("nframes", self.nframes, (count,))
        checks.check_shape("resolution", self.resolution, (count, 2))
        self._check_fit(self.tubes)
        if self.crowds is not None:
            self._check_fit(self.crowds)
        known = set(self.videos.tolist())
        for split in (*self.train, *self.test):
            unknown = [name for name in split if name not in known]
            checks.require(not unknown, f"a split names unknown videos: {unknown[:3]}")

    def _check_fit(self, tubes: Tubes) -> None:
        agree = np.array_equal(self.videos, tubes.videos)
        checks.require(agree, "the tubes name other videos than the ground truth")
        agree = self.labels == tuple(tubes.labels.tolist())
        checks.require(agree, "the tubes name other labels than the ground truth")
        late = np.flatnonzero(tubes.last > self.nframes[tubes.video])
        if late.size:
            i = late[0]
            video = tubes.video[i]
            raise ValueError(
                f"video '{self.videos[video]}' has {self.nframes[video]} frames, "
                f"but a tube ends at frame {tubes.last[i]}"
            )

    def select(self, names: Sequence[str] | np.ndarray) -> GroundTruth:
        """The ground truth of some videos, in the order given; ValueError names an unknown one."""
        names = np.asarray(names, np.str_)
        checks.check_unique("names", names)
        index = checks.index_of(self.videos, names, "video")
        renumber = np.full(len(self.videos), -1)
        renumber[index] = np.arange(len(index))
        chosen = set(names.tolist())
        return GroundTruth(
            self.labels,
            names,
            self.nframes[index],
            self.resolution[index],
            _renumbered(self.tubes, names, renumber),
            [[name for name in split if name in chosen] for split in self.train],
            [[name for name in split if name in chosen] for split in self.test],
            None if self.crowds is None else _renumbered(self.crowds, names, renumber),
        )

    def at_frames(self, frames: Iterable[tuple[str, int]]) -> GroundTruth:
        """What is there in some frames, given as (video, 1-based frame): a tube for each box."""
        tubes, video = self.tubes, self.tubes.video[self.tubes.box_tubes]
        # A number for each frame of each video.
        first = dict(zip(self.videos.tolist(), np.cumsum([0, *self.nframes]).tolist()))
        wanted = [first[name] + int(frame) for name, frame in frames if name in first]
        offsets = np.array([first[name] for name in self.videos.tolist()], np.int64)
        kept = np.isin(offsets[video] + tubes.box_frames, np.array(wanted, np.int64))
        single = Tubes(
            self.videos,
            tubes.labels,
            video[kept],
            tubes.classes[tubes.box_tubes][kept],
            tubes.box_scores[kept],
            tubes.box_frames[kept],
            np.arange(kept.sum() + 1),
            tubes.boxes[kept],
            tubes.box_scores[kept],
        )
        return replace(self, tubes=single)

    def split(self, number: int, part: str) -> GroundTruth:
        """The "train" or "test" videos of a split (1-based), in the split's order.

        Raises:
            ValueError: there is no such split or part.
        """
        checks.require(part in ("train", "test"), f"part '{part}': expected 'train' or 'test'")
        splits = self.train if part == "train" else self.test
        known = 1 <= number <= len(splits)
        checks.require(known, f"there is no split {number}; the dataset has {len(splits)}")
        return self.select(splits[number - 1])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GroundTruth:
        """Read the pickle of ACT-detector and MOC-detector.

        Its keys are ``labels, gttubes, nframes, train_videos, test_videos, resolution``; a tube
        is (n, 5): frame (1-based), x1, y1, x2, y2 (0-based, inclusive). ``crowds``, which may be
        absent, is as ``gttubes``.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not of this layout, or not one of its tubes can be used.

        Tubes that cannot be used (of no frames, with holes, NaN or inverted boxes) are left out,
        and a warning counts them.
        """
        content, bad = restricted_load(path), []
        with reading(path, "ground truth"):
            truth = cls._from_content(content, bad)
            checks.require(len(truth.tubes) or not bad, bad[0] if bad else "")
            shares = len(truth.tubes) and np.abs(truth.tubes.boxes).max() <= 1
            checks.require(not shares, "boxes between 0 and 1, shares of the frame; write pixels")
        if bad:
            more = f"{len(bad)} of {len(bad) + len(truth.tubes)} tubes are left out"
            warnings.warn(f"{path}: {more} (the first: {bad[0]})", stacklevel=2)
        return truth

    @classmethod
    def _from_content(cls, content: Any, bad: list[str]) -> GroundTruth:
        checks.require(isinstance(content, Mapping), "expected a dict")
        missing = [key for key in _KEYS if key not in content]
        checks.require(not missing, f"key '{missing[0] if missing else ''}' is missing")
        nframes, resolution = content["nframes"], content["resolution"]
        videos = np.array(list(nframes), dtype=np.str_)
        unknown = [*(set(content["gttubes"]) - set(nframes)), *(set(nframes) ^ set(resolution))]
        checks.require(
            not unknown, f"'nframes' disagrees with the other keys on video {unknown[:1]}"
        )
        labels = tuple(str(label) for label in content["labels"])
        tubes = _read_tubes(content["gttubes"], videos, labels, bad)
        crowds = content.get("crowds")
        return cls(
            labels,
            videos,
            np.array([int(nframes[name]) for name in nframes], np.int32),
            np.array([resolution[name] for name in nframes], np.int32).reshape(-1, 2),
            tubes,
            [list(map(str, split)) for split in content["train_videos"]],
            [list(map(str, split)) for split in content["test_videos"]],
            None if crowds is None else _read_tubes(crowds, videos, labels, bad),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pickle that ``load`` reads, atomically."""
        names = self.videos.tolist()
        content = {
            "labels": list(self.labels),
            "gttubes": _tables(self.tubes),
            "nframes": dict(zip(names, self.nframes.tolist(), strict=True)),
            "train_videos": self.train,
            "test_videos": self.test,
            "resolution": dict(zip(names, map(tuple, self.resolution.tolist()), strict=True)),
        }
        if self.crowds is not None:
            content["crowds"] = _tables(self.crowds)
        with io.atomic_write(path) as file:
            pickle.dump(content, file, protocol=2)


def _renumbered(tubes: Tubes, names: np.ndarray, renumber: np.ndarray) -> Tubes:
    """The tubes of some videos, from each video's new number (-1: of none of them)."""
    new_video = renumber[tubes.video]
    order = np.argsort(new_video, kind="stable")
    order = order[new_video[order] >= 0]
    return replace(tubes.take(order), videos=names, video=new_video[order])


def _tables(tubes: Tubes) -> dict[str, dict[int, list[np.ndarray]]]:
    """Video -> class -> tubes (n, 5), as the pickle holds them."""
    tables: dict[str, dict[int, list[np.ndarray]]] = {name: {} for name in tubes.videos.tolist()}
    table = np.column_stack([tubes.box_frames.astype(np.float32), tubes.boxes])
    for i, (video, label) in enumerate(zip(tubes.video, tubes.classes, strict=True)):
        rows = table[tubes.ptr[i] : tubes.ptr[i + 1]].astype(np.float32)
        tables[str(tubes.videos[video])].setdefault(int(label), []).append(rows)
    return tables


def _read_tubes(
    gttubes: Mapping[str, Mapping[int, Sequence[np.ndarray]]],
    videos: np.ndarray,
    labels: Sequence[str],
    bad: list[str],
) -> Tubes:
    """The tubes that can be used; what is wrong with the others is added to ``bad``."""
    video, cls, tables = [], [], []
    for i, name in enumerate(videos.tolist()):
        by_class = gttubes.get(name, {})
        for label in sorted(by_class):
            for tube in by_class[label]:
                try:
                    table = _read_tube(np.asarray(tube), name)
                except (ValueError, TypeError) as error:
                    bad.append(str(error))
                    continue
                video.append(i)
                cls.append(int(label))
                tables.append(table)
    table = np.concatenate(tables) if tables else np.zeros((0, 5), np.float32)
    starts = [int(tube[0, 0]) for tube in tables]
    return Tubes(
        videos,
        np.array(labels, np.str_),
        np.array(video, np.int32),
        np.array(cls, np.int64),
        np.ones(len(tables), np.float32),
        np.array(starts, np.int32),
        np.concatenate([[0], np.cumsum([len(tube) for tube in tables], dtype=np.int64)]),
        table[:, 1:],
        np.ones(len(table), np.float32),
    )


def _read_tube(tube: np.ndarray, video: str) -> np.ndarray:
    shaped = tube.ndim == 2 and tube.shape[1] == 5 and len(tube) > 0
    checks.require(shaped, f"video '{video}': a tube of shape {tube.shape}; expected (n, 5)")
    frames = tube[:, 0]
    whole = np.isfinite(frames).all() and (np.diff(frames) == 1).all() and frames[0] % 1 == 0
    checks.require(whole, f"video '{video}': a tube's frames are not consecutive whole numbers")
    table = tube.astype(np.float32)
    checks.check_boxes(table[:, 1:], lambda i: f"video '{video}', frame {frames[i]:g}")
    return table
