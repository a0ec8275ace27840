"""Boxes and tubes drawn on frames, and sheets of images.

Images are (H, W, 3) uint8 RGB; boxes x1 y1 x2 y2 in pixels, 0-based, corners inclusive.
"""

from __future__ import annotations

import colorsys
import math
import os
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from pcsc_d2.tubes import Tubes
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.video.labels import (
    Color,
    fit,
    ink_on,
    line_height,
    place_labels,
    text_size,
    text_width,
    wrap,
    write,
)

_WHITE: Color = (255, 255, 255)
_BLACK: Color = (0, 0, 0)
# Pixels between a label's text and the ends of its plate.
_PADDING = 3
# Hues a golden angle apart stay apart however many there are.
_GOLDEN_ANGLE = (3 - math.sqrt(5)) / 2
# Of the captions on a sheet.
_CAPTION, _CAPTION_LINE = 12, 16


def color_of(number: int) -> Color:
    """The colour of a class or tube: always the same, and unlike that of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_ANGLE % 1, 0.65, 0.96)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    captions: Sequence[str] = (),
    colors: Sequence[Color] = (),
) -> np.ndarray:
    """A copy of an image with boxes.

    Args:
        image: (H, W, 3) uint8.
        boxes: (n, 4).
        captions: n texts to stand at the boxes, or none; they neither overlap nor leave the image,
            the last ones having the first choice.
        colors: n colours, or none for white.
    """
    image = np.ascontiguousarray(image).copy()
    thickness = max(round(min(image.shape[:2]) / 160), 1)
    corners = np.rint(np.asarray(boxes).reshape(-1, 4)).astype(int)
    colors = colors or [_WHITE] * len(corners)
    for (x1, y1, x2, y2), color in zip(corners.tolist(), colors):
        cv2.rectangle(image, (x1, y1), (x2, y2), color, thickness)
    if captions:
        # The last box is on top, so that its label chooses first.
        _write_labels(image, corners[::-1], captions[::-1], colors[::-1])
    return image


def _write_labels(
    image: np.ndarray, boxes: np.ndarray, texts: Sequence[str], colors: Sequence[Color]
) -> None:
    """Each text on a plate at its box; those for which there is no room are left out."""
    size = text_size(*image.shape[:2])
    height = line_height(size)
    texts = [fit(text, size, image.shape[1] - 2 * _PADDING) for text in texts]
    widths = [text_width(text, size) + 2 * _PADDING if text else 0 for text in texts]
    places = place_labels(boxes, [(width, height) for width in widths], image.shape[:2])
    for text, width, place, color in zip(texts, widths, places, colors):
        if text and place is not None:
            x, y = place
            image[y : y + height, x : x + width] = color
            write(image, text, x + _PADDING, y, size, ink_on(color))


def draw_tubes(
    frames: Iterable[np.ndarray], tubes: Tubes, video: str, truth: Tubes | None = None
) -> Iterator[np.ndarray]:
    """The frames of a video with its tubes, each in a colour of its own, class and score above.

    Args:
        frames: from frame 1 onwards.
        tubes: to be drawn.
        video: the name in ``tubes.videos``.
        truth: ground truth, drawn first, in white without text.
    """
    for number, frame in enumerate(frames, start=1):
        if truth is not None:
            frame = draw_boxes(frame, truth.boxes[_rows_at(truth, video, number)[1]])
        tube, rows = _rows_at(tubes, video, number)
        captions = [
            f"{tubes.labels[tubes.classes[t]]} {tubes.box_scores[row]:.2f}"
            for t, row in zip(tube, rows)
        ]
        yield draw_boxes(frame, tubes.boxes[rows], captions, [color_of(int(t)) for t in tube])


def _rows_at(tubes: Tubes, video: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Tubes of a video at a frame, and the rows of their boxes there."""
    there = (tubes.start <= frame) & (frame <= tubes.last)
    tube = np.flatnonzero(there & (tubes.videos[tubes.video] == video))
    return tube, tubes.ptr[tube] + frame - tubes.start[tube]


def image_grid(
    images: Sequence[np.ndarray], columns: int, captions: Sequence[str] = (), gap: int = 4
) -> np.ndarray:
    """Images in rows on white, each in a cell of the largest one's size.

    Args:
        images: one or more, of any sizes.
        columns: images in a row.
        captions: a text for each, above it in as many lines as it needs, or none.
        gap: pixels between cells.

    Returns:
        One (H, W, 3) uint8 image.
    """
    width = max(image.shape[1] for image in images)
    height = max(image.shape[0] for image in images)
    columns = min(columns, len(images))
    lines = [wrap(caption, _CAPTION, width) for caption in captions] or [[]] * len(images)
    heads = [
        _CAPTION_LINE * len(max(lines[i : i + columns], key=len))
        for i in range(0, len(lines), columns)
    ]
    bottoms = np.cumsum([head + height + gap for head in heads])
    sheet = np.full((bottoms[-1], (width + gap) * columns, 3), 255, np.uint8)
    for i, (image, text) in enumerate(zip(images, lines)):
        y, x = bottoms[i // columns] - height - gap, i % columns * (width + gap)
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
        for row, line in enumerate(text):
            top = y + (row - len(text)) * _CAPTION_LINE
            write(sheet, line, x, top, _CAPTION, _BLACK)
    return sheet


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an RGB image atomically; ValueError for a suffix of no known format."""
    suffix = os.path.splitext(path)[1]
    if not cv2.haveImageWriter(os.fspath(path)):
        raise ValueError(f"{path}: no image can be written with the suffix '{suffix}'")
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with atomic_write(path) as file:
        file.write(data.tobytes())
