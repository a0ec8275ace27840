"""A FiftyOne dataset of an output folder: boxes in frames, and actions as spans of time.

A sample is a video. Its frames have ``Detections`` whose ``index`` is the tube's number (or the
person's), the sample has ``TemporalDetections``. FiftyOne's boxes are shares of the frame.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcsc_d2.detect.results import JSON, SUMMARY, VIDEO, Summary
from pcsc_d2.utils.parsing import reading
from pcsc_d2.utils.progress import progress_bar

if TYPE_CHECKING:
    import fiftyone

FRAMES, ACTIONS = "tubes", "actions"


def to_fiftyone(
    out: Path, name: str | None = None, overwrite: bool = False, progress: bool = False
) -> fiftyone.Dataset:
    """Make a dataset of what ``pcsc detect`` wrote.

    Args:
        out: the output folder.
        name: of the dataset; None takes the folder's.
        overwrite: take the place of a dataset of this name.
        progress: draw a bar.

    Raises:
        ModuleNotFoundError: FiftyOne is not installed.
        FileNotFoundError: no results are there.
        ValueError: there is a dataset of this name, or results that cannot be read.
    """
    import fiftyone as fo

    folders = sorted(_folders(out))
    if not folders:
        raise FileNotFoundError(f"{out}: no results of pcsc detect there (<video>/{JSON})")
    name = name or out.absolute().name
    if fo.dataset_exists(name) and not overwrite:
        raise ValueError(f"FiftyOne has a dataset '{name}': give another --name, or --overwrite")
    dataset = fo.Dataset(name, overwrite=overwrite, persistent=True)
    with progress_bar(len(folders), "adding", "video", progress) as bar:
        for folder in folders:
            dataset.add_sample(_sample(fo, out, folder))
            bar.update(1)
    return dataset


def _folders(out: Path) -> Iterator[Path]:
    for place, below, files in os.walk(out):
        below[:] = [name for name in below if not name.startswith(".")]
        if Path(place) != out and JSON in files:
            yield Path(place)


def _sample(fo: Any, out: Path, folder: Path) -> Any:
    with reading(folder / JSON, "tubes"):
        content = json.loads((folder / JSON).read_text(encoding="utf-8"))
        first, path = _video(content, folder)
        sample = fo.Sample(filepath=str(path), video=folder.relative_to(out).as_posix())
        tubes = content["tubes"]
        spans = [_span(fo, tube, first) for tube in tubes]
        sample[ACTIONS] = fo.TemporalDetections(detections=spans)
        frames: dict[int, list[Any]] = {}
        size = content["width"], content["height"]
        for tube in tubes:
            for i, (box, score) in enumerate(zip(tube["boxes"], tube["scores"])):
                number = tube["start_frame"] + i - first + 1
                frames.setdefault(number, []).append(_detection(fo, tube, box, score, size))
        for number, boxes in frames.items():
            sample.frames[number] = fo.Frame(**{FRAMES: fo.Detections(detections=boxes)})
        return sample


def _video(content: Mapping[str, Any], folder: Path) -> tuple[int, Path]:
    """The video to be shown, and which frame of the original is its first.

    The original, if it is still there; else the annotated one, which begins where the part that
    was looked at begins.
    """
    summary = Summary.load(folder / SUMMARY)
    source = ((summary.stamp if summary else {}).get("video") or {}).get("source", "")
    if source and Path(source).is_file():
        return 1, Path(source)
    rate = content["frames"] / (content["end"] - content["start"])
    return round(content["start"] * rate) + 1, (folder / VIDEO).absolute()


def _detection(
    fo: Any, tube: Mapping[str, Any], box: list[float], score: float, size: tuple[int, int]
) -> Any:
    x1, y1, x2, y2 = box
    width, height = size
    shares = [x1 / width, y1 / height, (x2 + 1 - x1) / width, (y2 + 1 - y1) / height]
    index = tube.get("person", tube["tube"])
    about = {"tube": tube["tube"], "tube_score": tube["score"]}
    return fo.Detection(
        label=tube["label"], bounding_box=shares, confidence=score, index=index, **about
    )


def _span(fo: Any, tube: Mapping[str, Any], first: int) -> Any:
    support = [tube["start_frame"] - first + 1, tube["end_frame"] - first + 1]
    about = {"tube": tube["tube"], "confidence": tube["score"]}
    return fo.TemporalDetection(label=tube["label"], support=support, **about)
