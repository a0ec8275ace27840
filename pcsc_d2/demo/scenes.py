"""Scenes drawn for people: in pixels finer than the detector's, beside the flow that it saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.tubes import Tubes
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.video.drawing import draw_tubes
from pcsc_d2.video.labels import Color, line_height, text_width, write

SCALE = 4
"""How many times as large as the detector's frames scenes are drawn."""
MAX_FLOW = 4.0
"""Pixels a frame, of the small frames, that have full saturation."""
KIND_NOTES = {
    "camouflaged": "wears the background's texture, only its motion shows",
    "still": "hardly moves, only its colours show",
}
_WHITE: Color = (255, 255, 255)
_INK, _PAPER, _SOFT = (16, 20, 26), (255, 255, 255), (165, 176, 188)
_FOUND: Color = (255, 170, 0)  # of the legend's sample alone: each tube has its own colour
_TEXT, _GAP, _DASH = 20, 8, 14
_WHEEL = 72
_WIDEST = 1280  # pixels of the picture, which is part of the repository


@dataclass(frozen=True)
class Scene:
    """A test clip, what is true of it and what was found.

    Attributes:
        name: of the video, `<split>/<number>`.
        truth: its true tubes.
        kinds: of their actors, keys of `actors.KINDS`.
        found: tubes of the detector; both in the detector's pixels.
    """

    name: str
    truth: Tubes
    kinds: list[str]
    found: Tubes

    @property
    def file(self) -> str:
        """The annotated video, in the demo's folder."""
        return f"videos/{Path(self.name).name}.mp4"

    @property
    def poster(self) -> str:
        """A frame of it, shown until it plays."""
        return f"videos/{Path(self.name).name}.jpg"

    def liveliest_frame(self, fields: np.ndarray) -> int:
        """The frame (1-based) with most motion among those in which most actors act.

        Args:
            fields: (N - 1, h, w, 2) flow from each of the detector's frames to the next.
        """
        frames, boxes = self.truth.box_frames, np.rint(self.truth.boxes).astype(int)
        counts = np.bincount(frames, minlength=len(fields) + 1)[: len(fields) + 1]
        speed = np.zeros(len(counts))
        for frame, (x1, y1, x2, y2) in zip(frames, boxes):
            if frame < len(counts) and counts[frame] == counts.max():
                inside = fields[frame - 1, y1 : y2 + 1, x1 : x2 + 1]
                speed[frame] += np.hypot(*np.moveaxis(inside, -1, 0)).mean()
        return int(speed.argmax())


@dataclass(frozen=True)
class View:
    """One frame of a scene: the annotated picture and the flow, (H, W, 3) uint8 RGB each."""

    image: np.ndarray
    flow: np.ndarray

    def video_frame(self) -> np.ndarray:
        """Both side by side over the legend."""
        gap = np.full((len(self.image), _GAP, 3), _PAPER, np.uint8)
        both = np.concatenate([self.image, gap, self.flow], axis=1)
        return np.concatenate([both, _legend(both.shape[1])])


def draw_scene(scene: Scene, frames: np.ndarray, fields: np.ndarray) -> Iterator[View]:
    """The frames of a scene with what is true and what was found.

    Args:
        scene: what is drawn.
        frames: (N, H, W, 3) uint8 RGB, at `SCALE`.
        fields: (N - 1, h, w, 2) flow from each of the detector's frames to the next.
    """
    true_frames = (_with_truth(frame, scene, n) for n, frame in enumerate(frames, start=1))
    drawn = draw_tubes(true_frames, _enlarged(scene.found), scene.name)
    for index, image in enumerate(drawn):
        # The last frame has no flow of its own.
        yield View(image, _flow_image(fields[min(index, len(fields) - 1)]))


def picture(views: Sequence[View]) -> np.ndarray:
    """Views side by side, each over its flow, over the legend; (H, W, 3) uint8 RGB."""
    gap = np.full((len(views[0].image), _GAP, 3), _PAPER, np.uint8)
    rows = []
    for images in ([view.image for view in views], [view.flow for view in views]):
        row = np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)
        rows += [row, np.full((_GAP, row.shape[1], 3), _PAPER, np.uint8)]
    sheet = np.concatenate([*rows[:-1], _legend(rows[0].shape[1])])
    share = min(_WIDEST / sheet.shape[1], 1)
    return cv2.resize(sheet, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _enlarged(tubes: Tubes) -> Tubes:
    return replace(tubes, boxes=scale_boxes(tubes.boxes, SCALE))


def _with_truth(frame: np.ndarray, scene: Scene, number: int) -> np.ndarray:
    """A copy of a frame with dashed boxes, named where their actors are of a special kind."""
    image, truth = frame.copy(), scene.truth
    for tube in np.flatnonzero((truth.start <= number) & (number <= truth.last)):
        box = truth.boxes[truth.ptr[tube] + number - truth.start[tube]][None]
        corners = np.rint(scale_boxes(box, SCALE))[0].astype(int).tolist()
        _dashed_box(image, corners)
        if scene.kinds[tube] in KIND_NOTES:
            _tag(image, scene.kinds[tube], corners)
    return image


def _dashed_box(image: np.ndarray, corners: Sequence[int]) -> None:
    """A dashed white box on dark, which shows on any background."""
    x1, y1, x2, y2 = corners
    for color, thickness in ((_INK, 5), (_WHITE, 2)):
        for start in range(x1, x2, 2 * _DASH):
            for y in (y1, y2):
                cv2.line(image, (start, y), (min(start + _DASH, x2), y), color, thickness)
        for start in range(y1, y2, 2 * _DASH):
            for x in (x1, x2):
                cv2.line(image, (x, start), (x, min(start + _DASH, y2)), color, thickness)


def _tag(image: np.ndarray, text: str, corners: Sequence[int]) -> None:
    """Text on a white plate in the middle of a box's lower side."""
    width, height = text_width(text, _TEXT) + 10, line_height(_TEXT)
    x = min(max((corners[0] + corners[2] - width) // 2, 0), image.shape[1] - width)
    y = min(corners[3] - height // 2, image.shape[0] - height)
    image[y : y + height, x : x + width] = _WHITE
    write(image, text, x + 5, y, _TEXT, _INK)


def _flow_image(field: np.ndarray) -> np.ndarray:
    """Flow (h, w, 2) as colour at `SCALE`, with the wheel that says which colour means what."""
    size = (field.shape[1] * SCALE, field.shape[0] * SCALE)
    image = flow_to_color(cv2.resize(field, size, interpolation=cv2.INTER_CUBIC), MAX_FLOW)
    wheel, inside = _wheel()
    corner = image[-_WHEEL - 10 : -10, -_WHEEL - 10 : -10]
    corner[...] = corner + (wheel - corner.astype(float)) * inside[..., None]
    return image


def _wheel() -> tuple[np.ndarray, np.ndarray]:
    """The colour of each motion from the middle outwards, and how much of a pixel is in it."""
    axis = (np.arange(_WHEEL) - (_WHEEL - 1) / 2) / (_WHEEL / 2 - 2)
    directions = np.stack(np.meshgrid(axis, axis), axis=-1)
    radius = np.hypot(*np.moveaxis(directions, -1, 0))
    wheel = flow_to_color(directions.astype(np.float32), 1.0).astype(float)
    rim = np.clip((np.abs(radius - 1) - 0.02) * _WHEEL / 2, 0, 1)[..., None]
    return wheel * rim + np.array(_SOFT) * (1 - rim), np.clip((1.06 - radius) * _WHEEL / 2, 0, 1)


def _legend(width: int) -> np.ndarray:
    """A strip that says what the boxes, the words on them and the colours of flow mean."""
    height = line_height(_TEXT) + 4
    strip = np.full((2 * (height + 8), width, 3), _INK, np.uint8)
    x = _sample(strip, 10, height, None) + 8
    x = _words(strip, x, 8, "truth", _WHITE) + 24
    x = _sample(strip, x, height, _FOUND) + 8
    _words(strip, x, 8, "found: class and score", _WHITE)
    flow = f"flow: hue is direction, up to {MAX_FLOW:g} pixels a frame"
    _words(strip, width - text_width(flow, _TEXT) - 10, 8, flow, _WHITE)
    notes = "     ".join(f"{kind}: {note}" for kind, note in KIND_NOTES.items())
    _words(strip, 10, 8 + height, notes, _SOFT)
    return strip


def _sample(strip: np.ndarray, x: int, height: int, color: Color | None) -> int:
    """A small box as boxes are drawn, dashed without a colour; where it ends."""
    corners = (x + 2, 12, x + 2 + 3 * _DASH, height)
    if color is None:
        _dashed_box(strip, corners)
    else:
        cv2.rectangle(strip, corners[:2], corners[2:], color, 3)
    return corners[2]


def _words(strip: np.ndarray, x: int, y: int, text: str, color: Color) -> int:
    """Write a line; where it ends."""
    write(strip, text, x, y, _TEXT, color)
    return x + text_width(text, _TEXT)
