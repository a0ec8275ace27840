"""Annotation files of UCF101-24 and J-HMDB to ground truth.

================  ==============================================================================
file              what it holds
================  ==============================================================================
pyannot.pkl       UCF101-24 corrected by Singh et al.: x, y, w, h counted from 1 in uint8 or
                  uint16 (cast before adding); ``sf`` 0-based, ``ef`` exclusive
finalAnnots.mat   the same boxes; ``sf`` 1-based, ``ef`` inclusive
ACT-style pickle  of ACT-detector and MOC-detector for either dataset (``JHMDB-GT.pkl``), with
                  splits; what ``GroundTruth.load`` reads
puppet_mask.mat   J-HMDB, one a clip: ``part_mask`` (H, W, T), 0 where the person is not
================  ==============================================================================

All become tubes on 1-based frames with boxes x1 y1 x2 y2 in pixels, 0-based, corners inclusive.
Boxes of UCF101-24 are loose, those of J-HMDB tight around the mask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from pcsc_d2.datasets.matlab import MatlabFiles
from pcsc_d2.datasets.repair import AnnotationIssues, RawTubes, checked_tubes, clip_to_image
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.pickles import restricted_load

UCF101_SIZE = (240, 320)


class _Tube(NamedTuple):
    cls: int
    start: int  # 1-based
    boxes: np.ndarray  # (n, 4) float32, x1 y1 x2 y2


class _Video(NamedTuple):
    frames: int
    size: tuple[int, int]
    tubes: list[_Tube]


def read_annotations(
    path: str | os.PathLike[str],
    test_list: str | os.PathLike[str] | None = None,
    issues: AnnotationIssues | None = None,
) -> GroundTruth:
    """Ground truth from ``pyannot.pkl``, ``finalAnnots.mat`` or an ACT-style pickle.

    Boxes that reach outside the image are cut, impossible ones left out, and both counted; so are
    names of the test list that lack annotation. A warning says each.

    Args:
        path: the file.
        test_list: of UCF101, for the first two: the listed videos are the test side of split 1,
            the other annotated ones its training side. Without it there are no splits.
        issues: to be filled; the warnings are logged either way.

    Returns:
        Labels in the order of the file's class numbers, which is alphabetical.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not of these layouts, or a pickle that asks for more than plain data.
    """
    issues = AnnotationIssues() if issues is None else issues
    content = _load_mat(path) if Path(path).suffix == ".mat" else restricted_load(path)
    if isinstance(content, Mapping) and "gttubes" in content:
        truth = clip_to_image(GroundTruth.load(path), issues)
    else:
        with reading(path, "annotations in a known layout"):
            videos = dict(_final_annots(content) if "annot" in content else _pyannot(content))
            labels = _labels(videos)
        split = None if test_list is None else _ucf_split(videos, labels, test_list, issues)
        with reading(path, "annotations in a known layout"):
            truth = _ground_truth(videos, labels, [] if split is None else [split], issues)
    issues.log(path)
    return truth


def read_puppet_masks(
    masks: str | os.PathLike[str],
    splits: str | os.PathLike[str],
    issues: AnnotationIssues | None = None,
) -> GroundTruth:
    """Ground truth of J-HMDB from its official files, for the clips that have a mask.

    Args:
        masks: folder with ``<class>/<video>/puppet_mask.mat``.
        splits: folder with ``<class>_test_split<k>.txt``, lines ``<video>.avi 1`` (training) or 2.
        issues: to be filled with boxes that are dropped, masks that cannot be read, and listed
            videos without a mask.

    Raises:
        FileNotFoundError: no masks or no lists.
        ValueError: a list that cannot be read, or not one mask can be.
    """
    issues = AnnotationIssues() if issues is None else issues
    files = sorted(Path(masks).glob("*/*/puppet_mask.mat"))
    if not files:
        raise FileNotFoundError(f"{masks}: no <class>/<video>/puppet_mask.mat there")
    lists = _jhmdb_lists(Path(splits))
    labels = tuple(sorted({name.split("/")[0] for split in lists for name in split}))
    videos = {}
    with MatlabFiles() as reader:
        for file in tqdm(files, desc="puppet masks", unit="video", delay=2):
            label, name = file.parts[-3:-1]
            if label not in labels:
                raise ValueError(f"{file}: class '{label}' is in none of the lists in {splits}")
            try:
                boxes, size = _boxes_of(reader.load(file), file)
            except ValueError as error:
                issues.unreadable[f"{label}/{name}"] = str(error)
                continue
            tube = _Tube(labels.index(label), 1, boxes)
            videos[f"{label}/{name}"] = _Video(len(boxes), size, [tube])
    if not videos:
        raise ValueError(next(iter(issues.unreadable.values())))
    listed = sorted({name for split in lists for name in split})
    issues.unannotated += [name for name in listed if name not in videos]
    parts = [_sides({n: s for n, s in split.items() if n in videos}) for split in lists]
    truth = _ground_truth(videos, labels, parts, issues)
    issues.log(masks)
    return truth


def mask_boxes(path: str | os.PathLike[str]) -> tuple[np.ndarray, tuple[int, int]]:
    """Tight boxes around a ``puppet_mask.mat``.

    Returns:
        (T, 4) float32 x1 y1 x2 y2, 0-based, inclusive, NaN for a frame without the person; and
        the height and width of the mask.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or has no ``part_mask`` (H, W, T).
    """
    return _boxes_of(_load_mat(path), path)


def _boxes_of(
    content: Mapping[str, Any], path: str | os.PathLike[str]
) -> tuple[np.ndarray, tuple[int, int]]:
    mask = content.get("part_mask")
    if mask is None or mask.ndim not in (2, 3):
        raise ValueError(f"{path}: expected 'part_mask' of shape (H, W, T)")
    mask = np.atleast_3d(mask) != 0
    x1, x2 = _extent(mask.any(axis=0))
    y1, y2 = _extent(mask.any(axis=1))
    boxes = np.column_stack([x1, y1, x2, y2]).astype(np.float32)
    boxes[~mask.any(axis=(0, 1))] = np.nan
    return boxes, mask.shape[:2]


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last occupied place of each column of (n, T)."""
    return occupied.argmax(axis=0), len(occupied) - 1 - occupied[::-1].argmax(axis=0)


def _pyannot(content: Mapping[str, Any]) -> Iterator[tuple[str, _Video]]:
    for name, video in content.items():
        tubes = [
            _Tube(int(tube["label"]), int(tube["sf"]) + 1, _from_xywh(tube["boxes"]))
            for tube in video["annotations"]
        ]
        ends = [int(tube["ef"]) for tube in video["annotations"]]
        yield name, _Video(int(video["numf"]), UCF101_SIZE, _of_length(name, tubes, ends))


def _final_annots(content: Mapping[str, Any]) -> Iterator[tuple[str, _Video]]:
    for video in content["annot"].ravel():
        name = str(video["name"].item())
        # A video without tubes has an empty array there instead of a struct.
        rows = video["tubes"].ravel() if video["tubes"].dtype.names else []
        tubes = [
            _Tube(int(row["class"].item()) - 1, int(row["sf"].item()), _from_xywh(row["boxes"]))
            for row in rows
        ]
        ends = [int(row["ef"].item()) for row in rows]
        frames = int(video["num_imgs"].item())
        yield name, _Video(frames, UCF101_SIZE, _of_length(name, tubes, ends))


def _from_xywh(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) x y w h counted from 1, small integers, to corners as ACT-detector's file has them.

    Those are w + 1 by h + 1 pixels large, corners inclusive; an empty box becomes NaN.
    """
    boxes = np.asarray(boxes).astype(np.float32).reshape(-1, 4)
    corners = np.concatenate([boxes[:, :2] - 1, boxes[:, :2] + boxes[:, 2:] - 1], axis=1)
    corners[(boxes[:, 2:] <= 0).any(1)] = np.nan
    return corners


def _of_length(name: str, tubes: list[_Tube], ends: list[int]) -> list[_Tube]:
    for tube, end in zip(tubes, ends):
        if tube.start + len(tube.boxes) - 1 != end:
            frames = f"{len(tube.boxes)} boxes for frames {tube.start} to {end}"
            raise ValueError(f"video '{name}' has {frames}")
    return tubes


def _labels(videos: Mapping[str, _Video]) -> tuple[str, ...]:
    """Class names in alphabetical order; ValueError where a tube is numbered otherwise."""
    labels = tuple(sorted({name.split("/")[0] for name in videos}))
    for name, video in videos.items():
        wrong = [t.cls for t in video.tubes if labels.index(name.split("/")[0]) != t.cls]
        if wrong:
            raise ValueError(f"video '{name}' has class number {wrong[0]}, not that of its folder")
    return labels


def read_video_list(path: str | os.PathLike[str]) -> list[str]:
    """Names ``<class>/<name>`` of a split list of UCF101, with or without ``.avi`` and a number."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such split list")
    with reading(path, "a list of videos"):
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    names = [line.split()[0] for line in lines if line.strip()]
    return [re.sub(r"\.(avi|mp4)$", "", name) for name in names]


def _ucf_split(
    videos: Mapping[str, _Video],
    labels: tuple[str, ...],
    test_list: str | os.PathLike[str],
    issues: AnnotationIssues,
) -> tuple[list[str], list[str]]:
    """Training and test names; the official list also names videos of UCF101's other classes."""
    listed = [name for name in read_video_list(test_list) if name.split("/")[0] in labels]
    issues.unannotated += [name for name in listed if name not in videos]
    test = set(listed)
    return _sides({name: name in test for name in sorted(videos)})


def _sides(is_test: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    train = [name for name, test in is_test.items() if not test]
    return train, [name for name, test in is_test.items() if test]


def _jhmdb_lists(folder: Path) -> list[dict[str, bool]]:
    """For each split, video name -> whether it is on the test side."""
    found: dict[int, dict[str, bool]] = {}
    for file in sorted(folder.glob("*_test_split*.txt")):
        label, number = re.fullmatch(r"(.+)_test_split(\d+)\.txt", file.name).groups()
        with reading(file, "a list of videos"):
            for line in file.read_text(encoding="utf-8-sig").splitlines():
                name, side = line.rsplit(maxsplit=1)
                listed = found.setdefault(int(number), {})
                listed[f"{label}/{name.removesuffix('.avi')}"] = side == "2"
    if not found:
        raise FileNotFoundError(f"{folder}: no <class>_test_split<k>.txt there")
    return [found[number] for number in sorted(found)]


def _ground_truth(
    videos: Mapping[str, _Video],
    labels: tuple[str, ...],
    splits: Iterable[tuple[list[str], list[str]]],
    issues: AnnotationIssues,
) -> GroundTruth:
    names = np.array(sorted(videos), np.str_)
    nframes = np.array([videos[name].frames for name in names.tolist()], np.int32)
    sizes = np.array([videos[name].size for name in names.tolist()], np.int32).reshape(-1, 2)
    rows = [(i, tube) for i, name in enumerate(names.tolist()) for tube in videos[name].tubes]
    raw = RawTubes(
        np.array([i for i, _ in rows], np.int32),
        np.array([tube.cls for _, tube in rows], np.int16),
        np.array([tube.start for _, tube in rows], np.int32),
        np.cumsum([0, *(len(tube.boxes) for _, tube in rows)]),
        np.concatenate([np.zeros((0, 4), np.float32), *(tube.boxes for _, tube in rows)]),
    )
    tubes = checked_tubes(raw, names, labels, nframes, sizes, issues)
    splits = list(splits)
    sides = [train for train, _ in splits], [test for _, test in splits]
    return GroundTruth(labels, names, nframes, sizes, tubes, *sides)


def _load_mat(path: str | os.PathLike[str]) -> dict[str, Any]:
    with MatlabFiles() as reader:
        return reader.load(path)
