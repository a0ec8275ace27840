"""Clips with their ground truth and flow, to be looked at."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import repeat, tee
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pcsc_d2.datasets.check import Checked
from pcsc_d2.datasets.layout import DatasetFiles
from pcsc_d2.flow.codec import FlowFile, decode_flow
from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import flow_method
from pcsc_d2.tubes import Tubes
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.video.drawing import color_of, draw_boxes, image_grid, write_image
from pcsc_d2.video.enlarging import enlarge, legible_factor
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.reading import VideoSource
from pcsc_d2.video.writing import write_video

FRAMES = 4  # of a clip, on the sheet
# Pixels: a picture's colours reach at least this far, so that noise stays pale.
_FAINT = 2.0


def draw_clips(
    checked: Checked,
    files: DatasetFiles,
    number: int,
    out: str | os.PathLike[str],
    flow: str | os.PathLike[str],
) -> list[Path]:
    """Draw some clips, spread over the dataset.

    Args:
        checked: what ``check_dataset`` gave.
        files: of the dataset.
        number: of clips.
        out: a folder, for ``<dataset>_sheet.png`` (a row of frames and a row of their flow for
            each clip) and ``<dataset>_<video>.mp4``, every frame of one clip beside its flow.
        flow: the folder of stored flow; what is not there is computed.

    Returns:
        The files written.
    """
    out, stem = Path(out), files.name.replace("/", "_")
    tubes = checked.truth.tubes
    names = list(dict.fromkeys(tubes.videos[tubes.video].tolist()))
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, number).astype(int))]
    images, captions, written = [], [], []
    for name in tqdm(chosen if names else [], desc="drawing clips", unit="clip"):
        path = out / f"{stem}_{name.replace('/', '_')}.mp4"
        frames = _shown_frames(tubes, name)
        kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        source = VideoSource(checked.paths[name], files.decoding)
        drawn = _drawn(source, _stored_flow(Path(flow), f"{files.name}/{name}"), tubes, name)
        pairs = _kept(drawn, frames, kept)
        try:
            write_video(path, (image_grid(pair, 2) for pair in pairs), source.rate)
        except VideoError as error:
            tqdm.write(f"not drawn: {error}", file=sys.stderr)
            continue
        written.append(path)
        images += [kept[frame][0] for frame in frames] + [kept[frame][1] for frame in frames]
        captions += [f"{name}, frame {frame}" for frame in frames]
        captions += [f"flow of frame {frame}" for frame in frames]
    if images:
        write_image(out / f"{stem}_sheet.png", image_grid(images, FRAMES, captions))
        written.append(out / f"{stem}_sheet.png")
    return written


def boxes_at(tubes: Tubes, video: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """The tubes (n,) that a video has at a frame (from 1), and their boxes (n, 4) there."""
    there = (tubes.start <= frame) & (frame <= tubes.last)
    found = np.flatnonzero(there & (tubes.videos[tubes.video] == video))
    return found, tubes.boxes[tubes.ptr[found] + frame - tubes.start[found]]


def with_truth(image: np.ndarray, tubes: Tubes, video: str, frame: int) -> np.ndarray:
    """A copy of an image with the boxes and classes that a video has at a frame (from 1).

    A small image is enlarged.
    """
    factor = legible_factor(*image.shape[:2])
    found, boxes = boxes_at(tubes, video, frame)
    captions = [str(tubes.labels[tubes.classes[i]]) for i in found]
    colors = [color_of(int(i)) for i in found]
    return draw_boxes(enlarge(image, factor), scale_boxes(boxes, factor), captions, colors)


def _shown_frames(tubes: Tubes, video: str) -> list[int]:
    """``FRAMES`` frames, from 1, spread over the first tube of a video, ends included."""
    first = np.flatnonzero(tubes.videos[tubes.video] == video)[0]
    return np.linspace(tubes.start[first], tubes.last[first], FRAMES).astype(int).tolist()


def _drawn(
    source: Iterable[np.ndarray], stored: Path | None, tubes: Tubes, video: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each frame and its flow as colour, with boxes; grey where there is no flow."""
    if stored is None:
        source, ahead = tee(source)
        fields = _or_none(flow_method("dis")(ahead))
    else:
        fields = _or_none(_read(stored))
    for number, (frame, field) in enumerate(zip(source, fields), start=1):
        picture = np.full_like(frame, 128)
        if field is not None:
            picture = flow_to_color(field, max(float(abs(field).max()), _FAINT))
        yield with_truth(frame, tubes, video, number), with_truth(picture, tubes, video, number)


def _or_none(fields: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
    """The fields, the last without end; None in place of those that cannot be had."""
    last = None
    try:
        for last in fields:
            yield last
    except FlowError:
        last = None
    yield from repeat(last)


def _read(path: Path) -> Iterator[np.ndarray]:
    with FlowFile(path) as file:
        for index in range(file.meta["fields"]):
            yield decode_flow(file.read([index])[0], file.meta["bound"])


def _stored_flow(folder: Path, key: str) -> Path | None:
    """The flow of a video by the first method that has it."""
    return next(iter(sorted(folder.glob(f"*/{glob.escape(key)}.zip"))), None)


def _kept(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    wanted: list[int],
    kept: dict[int, tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pass frames and flow on, and keep the wanted ones by number from 1."""
    for number, pair in enumerate(pairs, start=1):
        if number in wanted:
            kept[number] = pair
        yield pair
