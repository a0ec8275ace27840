"""The XML that CVAT exports as "CVAT for video 1.1", of a task, a job or a project."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pcsc_d2.datasets.custom.rows import Annotations, plain_name
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.zips import ARRAYS, check_zip

_DEEPEST = 50


def read_cvat(path: Path, known: Mapping[str, Path], attribute: str | None) -> Annotations:
    """Read a file; the arguments and errors are those of ``formats.read_rows``.

    Between two boxes of a track an object is where they say in between, unless it is outside
    from the first on; a track ends with its last box, since CVAT exports every frame.
    """
    rows = Annotations(path, "track", first_frame=0, interpolated=True)
    with reading(path, "XML of CVAT"):
        try:
            if path.suffix.lower() != ".zip":
                with path.open("rb") as file:
                    return _parse_cvat(file, rows, known, attribute)
            check_zip(path, ARRAYS)
            with zipfile.ZipFile(path) as archive, archive.open("annotations.xml") as file:
                return _parse_cvat(file, rows, known, attribute)
        except (zipfile.BadZipFile, KeyError):
            raise ValueError(f"{path}: no zip that holds annotations.xml") from None
        except DefusedXmlException:
            what = "declares XML entities or a DTD, which CVAT never does"
            raise ValueError(f"{path}: {what}") from None
        except ParseError as error:
            raise ValueError(f"{path}: cannot be read as XML: {error}") from None


def _parse_cvat(
    file: IO[bytes], rows: Annotations, known: Mapping[str, Path], attribute: str | None
) -> Annotations:
    root, videos, number, depth = None, {}, 0, 0
    for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
        depth += 1 if event == "start" else -1
        if depth > _DEEPEST:
            raise ValueError(f"elements within {depth} others; CVAT has fewer than {_DEEPEST}")
        if root is None:
            root = element
        if event == "start" or element.tag not in ("meta", "track", "image"):
            continue
        if element.tag == "image":
            raise ValueError(
                f"{rows.source}: exported as 'CVAT for images'; export 'CVAT for video 1.1'"
            )
        if element.tag == "meta":
            videos = _cvat_videos(element, rows, known)
        else:
            with rows.leaving_out(element.get("id", number)):
                _add_track(rows, element, _video_of(element, videos, rows), number, attribute)
            number += 1
            element.clear()
    if root is None or root.tag != "annotations":
        raise ValueError(f"{rows.source}: no 'annotations' at the top: not exported from CVAT")
    return rows


def _cvat_videos(
    meta: Element, rows: Annotations, known: Mapping[str, Path]
) -> dict[str | None, str]:
    """Task -> video: by the source that the task names, its own name, or that of the file."""
    tasks = list(meta.iter("task")) or list(meta.iter("job"))
    videos: dict[str | None, str] = {}
    for task in tasks:
        outer = meta if len(tasks) == 1 else task
        told = [outer.findtext(".//source"), task.findtext("name"), rows.source.stem]
        names = [plain_name(name) for name in told if name and name.strip()]
        video = next((name for name in names if name in known), names[0])
        height, width = (outer.findtext(f".//original_size/{s}") for s in ("height", "width"))
        rows.sizes[video] = None, int(height) if height else None, int(width) if width else None
        videos[task.findtext("id")] = video
    return videos


def _video_of(track: Element, videos: Mapping[str | None, str], rows: Annotations) -> str:
    if track.get("task_id") not in videos and len(videos) > 1:
        raise rows.wrong(track.get("id"), "of a project, without a known task_id")
    video = videos.get(track.get("task_id")) or next(iter(videos.values()), "")
    return video or plain_name(rows.source.stem)


def _add_track(
    rows: Annotations, track: Element, video: str, number: int, attribute: str | None
) -> None:
    place = track.get("id", number)
    segment, gone = 0, False
    fixed = {a.get("name"): a.text for a in track.findall("attribute")}
    boxes = track.findall("box")
    if len(boxes) < len([c for c in track if c.tag != "attribute"]):
        raise rows.wrong(place, "holds shapes that are no boxes; export rectangles only")
    try:
        for box in sorted(boxes, key=lambda box: int(box.get("frame", ""))):
            told = fixed | {a.get("name"): a.text for a in box.findall("attribute")}
            label = told.get(attribute, "") if attribute else track.get("label")
            # Gone from here on: what follows, if it comes back, is not joined to what was before.
            if box.get("outside") == "1" or not (label or "").strip():
                if not gone and rows.videos and rows.places[-1] == place:
                    _stay_until(rows, int(box.attrib["frame"]) - 1)
                gone = True
                continue
            segment, gone = segment + gone, False
            corners = _enclosing(box)
            name = f"{number}.{segment}"
            rows.add(place, video, name, label.strip(), int(box.attrib["frame"]), corners)
    except (KeyError, ValueError) as error:
        raise rows.wrong(place, f"a box is not as expected ({error})") from None


def _enclosing(box: Element) -> tuple[float, ...]:
    """The upright box around a rectangle, which CVAT may have turned about its centre."""
    x1, y1, x2, y2 = (float(box.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    turn = math.radians(float(box.get("rotation", 0)))
    if not turn:
        return x1, y1, x2, y2
    sine, cosine = abs(math.sin(turn)), abs(math.cos(turn))
    width, height = x2 - x1, y2 - y1
    half_x, half_y = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return x - half_x, y - half_y, x + half_x, y + half_y


def _stay_until(rows: Annotations, frame: int) -> None:
    """Repeat the last box at a frame: between key frames an object is there till it is gone."""
    if frame > rows.frames[-1]:
        last = rows.places, rows.videos, rows.tracks, rows.labels
        place, video, track, label = (column[-1] for column in last)
        rows.add(place, video, track, label, frame, rows.boxes[-1])
