"""Clips with their ground truth and flow, to be looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pcsc_d2.tubes import Tubes
from pcsc_d2.video.checking import Checked
from pcsc_d2.video.dataset_files import DatasetFiles
from pcsc_d2.video.decoding import VideoError
from pcsc_d2.video.drawing import color_of, draw_boxes, image_grid, write_image, write_video
from pcsc_d2.video.flow import FlowError
from pcsc_d2.video.flow_codec import FlowFile, decode_flow
from pcsc_d2.video.flow_color import flow_to_color
from pcsc_d2.video.flow_store import FlowStore
from pcsc_d2.video.reading import VideoSource

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
    """Draws some clips, spread over the dataset.

    Args:
        checked: what ``check_dataset`` gave.
        files: of the dataset.
        number: of clips.
        out: a folder, for ``<dataset>_sheet.png`` (a row of frames and a row of their flow for
            each clip) and ``<dataset>_<video>.mp4``, every frame of one clip.
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
        kept: dict[int, np.ndarray] = {}
        source = VideoSource(checked.paths[name], files.decoding)
        write_video(path, _kept(_drawn(source, tubes, name), frames, kept), source.rate)
        written.append(path)
        images += [kept[frame] for frame in frames]
        images += _flow_pictures(checked, files, name, frames, Path(flow))
        captions += [f"frame {frame}: {name}" for frame in frames]
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
    """A copy of an image with the boxes and classes that a video has at a frame (from 1)."""
    found, boxes = boxes_at(tubes, video, frame)
    captions = [str(tubes.labels[tubes.cls[i]]) for i in found]
    return draw_boxes(image, boxes, captions, [color_of(int(i)) for i in found])


def _shown_frames(tubes: Tubes, video: str) -> list[int]:
    """``FRAMES`` frames, from 1, spread over the first tube of a video, ends included."""
    first = np.flatnonzero(tubes.videos[tubes.video] == video)[0]
    return np.linspace(tubes.start[first], tubes.last[first], FRAMES).astype(int).tolist()


def _drawn(frames: Iterable[np.ndarray], tubes: Tubes, video: str) -> Iterator[np.ndarray]:
    for number, frame in enumerate(frames, start=1):
        yield with_truth(frame, tubes, video, number)


def _kept(
    frames: Iterable[np.ndarray], wanted: list[int], kept: dict[int, np.ndarray]
) -> Iterator[np.ndarray]:
    """Passes frames on, and keeps the wanted ones by number from 1."""
    for number, frame in enumerate(frames, start=1):
        if number in wanted:
            kept[number] = frame
        yield frame


def _flow_pictures(
    checked: Checked, files: DatasetFiles, name: str, frames: list[int], folder: Path
) -> list[np.ndarray]:
    """The flow of some frames as colour with boxes; grey where there is none."""
    height, width = checked.truth.resolution[checked.truth.videos == name][0].tolist()
    try:
        fields = _stored_flow(folder, f"{files.name}/{name}", frames)
        if fields is None:
            length = len(VideoSource(checked.paths[name], files.decoding))
            indices = [min(frame - 1, max(length - 2, 0)) for frame in frames]
            fields = FlowStore(None).read(checked.paths[name], name, indices, files.decoding)
        pictures = [flow_to_color(field, max(float(abs(field).max()), _FAINT)) for field in fields]
    except (FlowError, VideoError):
        pictures = [np.full((height, width, 3), 128, np.uint8)] * len(frames)
    tubes = checked.truth.tubes
    return [with_truth(image, tubes, name, frame) for image, frame in zip(pictures, frames)]


def _stored_flow(folder: Path, key: str, frames: list[int]) -> np.ndarray | None:
    """(n, H, W, 2) in pixels by the first method that has the video's flow, or None."""
    for path in sorted(folder.glob(f"*/{key}.zip")):
        with FlowFile(path) as file:
            last = max(file.meta["fields"] - 1, 0)
            fields = file.read([min(frame - 1, last) for frame in frames])
            return decode_flow(np.stack(fields), file.meta["bound"])
    return None
