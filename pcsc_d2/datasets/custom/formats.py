"""Annotation files of one's own videos: CSV, COCO-style JSON for video, CVAT's XML, AVA's CSV.

``docs/pages/custom-datasets.md`` describes them. All become rows of boxes whose edges are x1 y1
x2 y2 in pixels: a box over the whole of a frame is 0 0 width height.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pcsc_d2.datasets.custom.ava import is_ava, read_ava
from pcsc_d2.datasets.custom.cvat import read_cvat
from pcsc_d2.datasets.custom.rows import Annotations, plain_name, plain_text
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.text import one_line, text_of_cell

_CORNERS = ("x1", "y1", "x2", "y2")
_SIZES = ("x", "y", "w", "h")
_LARGEST = 1 << 30
# Flags of a region of many, or of none that counts: nothing there is to be learnt or found.
_CROWD = ("iscrowd", "ignore")
_NOT_SET = {"", "0", "0.0", "false", "no", "none"}


def read_rows(path: Path, known: Mapping[str, Path], attribute: str | None = None) -> Annotations:
    """Read an annotation file by its suffix.

    Args:
        path: ``.csv``, ``.json``, ``.xml``, or the ``.zip`` that CVAT exports.
        known: the videos that are there by name; CVAT's files can name theirs in several ways, and
            AVA's seconds are of them.
        attribute: of CVAT, the attribute that is the class; None takes the track's label.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not of its format; one line with the place.
    """
    readers: dict[str, Callable[[], Annotations]] = {
        ".csv": lambda: read_ava(path, known) if is_ava(path) else _read_csv(path),
        ".json": lambda: _read_coco(path),
        ".xml": lambda: read_cvat(path, known, attribute),
        ".zip": lambda: read_cvat(path, known, attribute),
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: expected an annotation file {', '.join(readers)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    with reading(path, f"annotations ({path.suffix.lower()})"):
        rows = readers[path.suffix.lower()]()
        rows.require_some()
    return rows


def _read_csv(path: Path) -> Annotations:
    rows = Annotations(path, "line")
    # utf-8-sig: spreadsheets put a mark before the first column's name.
    with reading(path, "CSV in UTF-8"), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        columns = _box_columns(path, reader.fieldnames or [])
        for record in reader:
            with rows.leaving_out(reader.line_num):
                _add_record(rows, reader.line_num, record, columns)
    return rows


def _box_columns(path: Path, header: list[str]) -> tuple[str, ...]:
    columns = _SIZES if set(_SIZES) <= set(header) else _CORNERS
    wanted = ("video", "frame", "track", "label", *columns)
    missing = [name for name in wanted if name not in header]
    if missing:
        found = ", ".join(header) or "nothing"
        raise ValueError(
            f"{path}, line 1: the column '{missing[0]}' is missing; expected {', '.join(wanted)}, "
            f"found {found}"
        )
    return columns


def _add_record(
    rows: Annotations, line: int, record: dict[str, str | None], columns: tuple[str, ...]
) -> None:
    try:
        frame = float(record["frame"])
        box = tuple(float(record[name]) for name in columns)
        name = plain_name(text_of_cell(record["video"] or ""))
    except TypeError:
        raise rows.wrong(line, "fewer values than columns") from None
    except ValueError as error:
        raise rows.wrong(line, str(error)) from None
    if not math.isfinite(frame) or frame % 1:
        raise rows.wrong(line, f"frame {record['frame']} is no whole number")
    if columns == _SIZES:
        box = _corners(box)
    label, track = text_of_cell((record["label"] or "").strip()), (record["track"] or "").strip()
    if not label or not track:
        raise rows.wrong(line, "label and track must not be empty")
    add = rows.add_crowd if any(_is_set(record.get(key)) for key in _CROWD) else rows.add
    add(line, name, track, label, int(frame), box)


def _is_set(value: Any) -> bool:
    """Whether a flag is set, as COCO (1, true) or a cell of a table ("1", "true") has it."""
    return str(value).strip().lower() not in _NOT_SET


def _corners(box: Any) -> tuple[float, ...]:
    x, y, width, height = (float(value) for value in box)
    return x, y, x + width, y + height


def _read_coco(path: Path) -> Annotations:
    with reading(path, "JSON"):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    missing = {"videos", "annotations", "categories"} - set(
        content if isinstance(content, dict) else ()
    )
    if missing:
        raise ValueError(f"{path}: the list '{sorted(missing)[0]}' is missing at the top level")
    rows = Annotations(path, "annotation", first_frame=0)
    try:
        classes = {c["id"]: plain_text(c["name"]) for c in content["categories"]}
        rows.names = tuple(classes[i] for i in sorted(classes))
    except Exception as error:
        raise rows.wrong("of a category", f"not as expected ({one_line(error)})") from None
    videos: dict[Any, str] = {}
    for place, video in _named(content["videos"], "of video"):
        with rows.leaving_out(place):
            videos[video["id"]] = _coco_video(video, rows)
    images: dict[Any, tuple[Any, int]] = {}
    for place, image in _named(content.get("images", []), "of image"):
        with rows.leaving_out(place):
            images[image["id"]] = image["video_id"], _frame_of(image)
    tracks: dict[Any, Mapping[str, Any]] = {}
    for place, track in _named(content.get("tracks", []), "of track"):
        with rows.leaving_out(place):
            tracks[track["id"]] = track
    for place, annotation in _named(content["annotations"]):
        with rows.leaving_out(place):
            _add_annotation(rows, place, annotation, _CocoIds(classes, videos, images, tracks))
    return rows


def _named(entries: Any, what: str = "") -> Iterator[tuple[object, Any]]:
    """Each entry with what it is called: by its id, or by its number."""
    for number, entry in enumerate(entries):
        place = entry.get("id", f"number {number}") if isinstance(entry, dict) else number
        yield f"{what} {place}".strip() if what else place, entry


class _CocoIds(NamedTuple):
    """What the ids of a COCO file stand for."""

    classes: Mapping[Any, str]
    videos: Mapping[Any, str]
    images: Mapping[Any, tuple[Any, int]]
    tracks: Mapping[Any, Mapping[str, Any]]


def _add_annotation(
    rows: Annotations, place: object, annotation: Mapping[str, Any], ids: _CocoIds
) -> None:
    crowd = any(_is_set(annotation.get(key)) for key in _CROWD)
    track = annotation.get("track_id", annotation.get("instance_id"))
    if "bboxes" in annotation or (crowd and track is None):
        track = annotation["id"]
    if track is None:
        raise rows.wrong(place, "neither 'track_id' nor 'instance_id'")
    category = annotation.get("category_id", ids.tracks.get(track, {}).get("category_id"))
    label, add = ids.classes[category], rows.add_crowd if crowd else rows.add
    for frame, box, video in _coco_boxes(annotation, ids.images):
        with rows.leaving_out(place):
            add(place, ids.videos[video], str(track), label, frame, _corners(box))


def _coco_video(video: Mapping[str, Any], rows: Annotations) -> str:
    files = video.get("file_names") or []
    folder = str(PurePosixPath(str(files[0])).parent) if files else None
    name = plain_name(str(video.get("name") or video.get("file_name") or folder or video["name"]))
    told = video.get("length") or len(files), video.get("height"), video.get("width")
    rows.sizes[name] = tuple(_size(value) for value in told)
    return name


def _size(value: Any) -> int | None:
    """A number of frames or pixels, None where it is not told."""
    if value in (None, 0):
        return None
    if type(value) not in (int, float) or not 1 <= value < _LARGEST or value % 1:
        raise ValueError(f"{value!r} is no number of frames or pixels")
    return int(value)


def _frame_of(image: Mapping[str, Any]) -> int:
    return int(image["frame_index"] if "frame_index" in image else image["frame_id"])


def _coco_boxes(
    annotation: Mapping[str, Any], images: Mapping[Any, tuple[Any, int]]
) -> Iterator[tuple[int, Any, Any]]:
    """Frame, box and video: of one image, or of every frame of a video (null where absent)."""
    if "bboxes" in annotation:
        for frame, box in enumerate(annotation["bboxes"]):
            if box:
                yield frame, box, annotation["video_id"]
        return
    video, frame = images[annotation["image_id"]]
    yield frame, annotation["bbox"], video
