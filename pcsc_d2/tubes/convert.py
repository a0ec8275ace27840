"""Detections from the files of other projects."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.tubes.boxes import to_inclusive
from pcsc_d2.tubes.checks import index_of, require
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.iou import box_iou
from pcsc_d2.tubes.matching import later_in_group, suppress
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.pickles import restricted_load
from pcsc_d2.utils.progress import progress_bar
from pcsc_d2.utils.text import one_line

_ACT_NMS, _MOC_NMS = 0.3, 0.6
_FRAME_NAME = re.compile(r"(?P<video>.+)/\D*(?P<frame>\d+)(\.\w+)?$")

# Of a number in COCO results, far from what float32 holds.
_LARGEST = 1e30
# Columns of a detection: x1, y1, x2, y2, score, class, frame.
_WIDTH = 7


def from_frame_pickles(
    folder: str | os.PathLike[str], ground_truth: GroundTruth, progress: bool = False
) -> Detections:
    """Frame detections from the pickles ``<video>/<frame, five digits>.pkl`` of ACT or MOC.

    Each holds the tubelets of K frames that start at that frame: with MOC-detector a dict of label
    (1-based) -> (n, 4K+1) boxes, then score; with ACT-detector a pair whose first item is
    (n, 2+4K) class (0-based), score, boxes. As their evaluators do, the boxes of all tubelets at
    a frame go through suppression within a class: over 0.3 dropped (ACT), over 0.6 rescored by
    1 - IoU (MOC).

    Files that are missing or damaged are left out, with one warning that counts them.

    Args:
        ground_truth: whose videos, frame counts and labels are used.

    Raises:
        ValueError: no file could be read.
    """
    columns, bad = [np.zeros((0, _WIDTH + 1))], []
    read = 0
    with progress_bar(len(ground_truth.videos), "reading", "video", progress) as bar:
        for video, name in enumerate(ground_truth.videos.tolist()):
            boxes, missing = _read_video(
                Path(folder) / name, int(ground_truth.nframes[video]), len(ground_truth.labels)
            )
            bad += missing
            read += len(boxes) > 0
            columns.append(np.column_stack([boxes, np.full(len(boxes), video)]))
            bar.update(1)
    require(
        read > 0,
        f"{folder}: no detections there; expected <video>/<frame>.pkl ({''.join(bad[:1])})",
    )
    if bad:
        warnings.warn(f"{len(bad)} files left out, such as {bad[0]}", stacklevel=2)
    table = np.concatenate(columns)
    return Detections.from_arrays(
        ground_truth.videos,
        ground_truth.labels,
        ground_truth.nframes,
        table[:, 7].astype(np.int64),
        table[:, 6].astype(np.int64),
        table[:, :4],
        table[:, 4],
        table[:, 5].astype(np.int64),
    )


def _read_video(folder: Path, nframes: int, num_classes: int) -> tuple[np.ndarray, list[str]]:
    """Detections (n, 7) of a video after suppression, and what could not be read, and why."""
    parts, bad, is_moc = [np.zeros((0, _WIDTH))], [], True
    length = 1
    for start in range(1, nframes + 1):
        path = folder / f"{start:05}.pkl"
        try:
            content = restricted_load(path)
            is_moc = isinstance(content, Mapping)
            with reading(path, "detections of tubelets"):
                tubelets = _proper(_moc_tubelets(content) if is_moc else _act_tubelets(content))
        except (OSError, ValueError) as error:
            bad.append((start, str(error)))
            continue
        length = max(length, (tubelets.shape[1] - 2) // 4)
        parts.append(_frames_of_tubelets(tubelets, start))
    table = np.concatenate(parts)
    table = table[(table[:, 6] <= nframes) & (table[:, 5] < num_classes)]
    # Tubelets of K frames have no file for the last K - 1 frames.
    missing = [message for start, message in bad if start <= nframes - length + 1]
    return _suppress_frames(table, is_moc), missing


def _proper(tubelets: np.ndarray) -> np.ndarray:
    """Tubelets (n, 2+4K) whose numbers can be; ValueError for another shape."""
    shaped = tubelets.ndim == 2 and tubelets.shape[1] >= 6 and tubelets.shape[1] % 4 == 2
    require(shaped, f"tubelets of shape {tubelets.shape}; expected (n, 2 + 4 K)")
    tubelets = tubelets.astype(np.float64)
    boxes = tubelets[:, 2:].reshape(len(tubelets), -1, 4)
    fine = np.isfinite(tubelets.astype(np.float32)).all(1) & (tubelets[:, 0] >= 0)
    fine &= (boxes[..., :2] <= boxes[..., 2:]).all((1, 2))
    require(fine.any() or not len(fine), "no tubelet of finite boxes and scores")
    return tubelets[fine]


def _moc_tubelets(content: Mapping[int, np.ndarray]) -> np.ndarray:
    """(n, 2+4K): class, score, boxes."""
    parts = [
        np.column_stack([np.full(len(rows), int(label) - 1), rows[:, -1], rows[:, :-1]])
        for label, rows in content.items()
        if len(rows)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 6))


def _act_tubelets(content: Sequence[np.ndarray]) -> np.ndarray:
    tubelets = np.asarray(content[0], np.float64)
    return tubelets if tubelets.size else np.zeros((0, 6))


def _frames_of_tubelets(tubelets: np.ndarray, start: int) -> np.ndarray:
    """(n * K, 7) the boxes of (n, 2+4K) tubelets."""
    length = (tubelets.shape[1] - 2) // 4
    frames = np.tile(start + np.arange(length), len(tubelets))
    return np.column_stack(
        [
            tubelets[:, 2:].reshape(-1, 4),
            np.repeat(tubelets[:, 1], length),
            np.repeat(tubelets[:, 0], length),
            frames,
        ]
    )


def _suppress_frames(table: np.ndarray, rescore: bool) -> np.ndarray:
    table = table.astype(np.float32)
    table = table[np.lexsort((-table[:, 4], table[:, 5], table[:, 6]))]
    _, group = np.unique(table[:, [6, 5]], axis=0, return_inverse=True)
    first, second = later_in_group(group.reshape(-1))
    iou = box_iou(table[first, :4], table[second, :4])
    over = iou > (_MOC_NMS if rescore else _ACT_NMS)
    first, second, iou = first[over], second[over], iou[over]
    keep = suppress(first, second, len(table))
    if not rescore:
        return table[keep]
    by_kept = keep[first] & ~keep[second]
    # Written backwards: of the boxes that suppress one, the best counts.
    weight = np.ones(len(table))
    weight[second[by_kept][::-1]] = 1 - iou[by_kept][::-1]
    table[:, 4] *= weight
    return table


def from_coco_results(
    path: str | os.PathLike[str],
    ground_truth: GroundTruth,
    images: str | os.PathLike[str] | None = None,
) -> Detections:
    """Frame detections from COCO-style results: a list of image_id, category_id, bbox and score.

    A ``bbox`` is x, y, width, height; its last pixel is x + width - 1.

    Args:
        ground_truth: whose videos, frame counts and labels are used.
        images: the COCO annotation file that says what the numbers mean: an image's ``file_name``
            is ``<video>/<frame>.<extension>``, a category's ``name`` is a label. Without it an
            ``image_id`` is itself ``<video>/<frame>``, and categories count from 1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON of this form, or not one detection can be used.

    Detections that cannot be (an unknown image, video or category, a box of no pixels) are left
    out, with one warning that counts them.
    """
    results = _read_json(path)
    names, categories = _image_names(images, ground_truth)
    videos = {name: i for i, name in enumerate(ground_truth.videos.tolist())}
    rows, bad = [], []
    with reading(path, "COCO results"):
        require(isinstance(results, list), "expected a list of detections")
        for number, result in enumerate(results):
            try:
                rows.append(_coco_row(result, names, categories, videos, ground_truth.nframes))
            except Exception as error:  # of what others wrote, one by one
                missing = " is missing or unknown" if isinstance(error, KeyError) else ""
                bad.append(f"detection {number}: {one_line(error)}{missing}")
        require(rows or not bad, "".join(bad[:1]))
        table = np.array(rows, np.float64).reshape(-1, _WIDTH + 1)
        found = Detections.from_arrays(
            ground_truth.videos,
            ground_truth.labels,
            ground_truth.nframes,
            table[:, 7].astype(np.int64),
            table[:, 6].astype(np.int64),
            to_inclusive(table[:, :4]),
            table[:, 4],
            table[:, 5].astype(np.int64),
        )
    if bad:
        amount = f"{len(bad)} of {len(bad) + len(rows)} detections are left out"
        warnings.warn(f"{path}: {amount} (the first: {bad[0]})", stacklevel=2)
    return found


def _coco_row(
    result: Mapping[str, Any],
    names: Mapping[Any, str],
    categories: Mapping[Any, int],
    videos: Mapping[str, int],
    nframes: np.ndarray,
) -> list[float]:
    """x1, y1, x2, y2, score, class, frame and video of one result; errors say what is wrong."""
    key = str(names[result["image_id"]] if names else result["image_id"])
    match = _FRAME_NAME.fullmatch(key)
    require(match is not None, f"image '{key}': expected <video>/<frame>")
    video, frame = videos.get(match["video"]), int(match["frame"])
    require(video is not None, f"unknown video '{match['video']}'")
    inside = 1 <= frame <= nframes[video]
    require(inside, f"video '{match['video']}' has frames 1 to {nframes[video]}, not {frame}")
    x, y, width, height = (float(value) for value in result["bbox"])
    row = [x, y, x + width, y + height, float(result["score"])]
    finite = all(abs(value) < _LARGEST for value in row)  # False for NaN, too
    require(finite, f"{row} are no finite box and score")
    require(width >= 0 and height >= 0, f"a box of {width:g} x {height:g} pixels")
    return [*row, categories[result["category_id"]], frame, video]


def _image_names(
    images: str | os.PathLike[str] | None, ground_truth: GroundTruth
) -> tuple[dict[Any, str], dict[Any, int]]:
    """image_id -> file name (empty without a file), and category_id -> class."""
    if images is None:
        return {}, {i + 1: i for i in range(len(ground_truth.labels))}
    content = _read_json(images)
    labels = np.array(ground_truth.labels, np.str_)
    with reading(images, "COCO annotations"):
        names = {image["id"]: image["file_name"] for image in content["images"]}
        category_names = np.array([c["name"] for c in content["categories"]], np.str_)
        classes = index_of(labels, category_names, "category").tolist()
        ids = [category["id"] for category in content["categories"]]
    return names, dict(zip(ids, classes, strict=True))


def _read_json(path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with reading(path, "JSON"):
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
