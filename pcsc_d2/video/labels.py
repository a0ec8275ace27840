"""Text on pictures: its size and shape, and places where labels neither overlap nor are cut.

Rectangles are x1 y1 x2 y2 in whole pixels, ends exclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
_WHITE: Color = (255, 255, 255)
_DARK: Color = (16, 20, 26)
# Pixels of text on a picture of 240 rows, and the least that can be read.
_TEXT, _LEAST_TEXT = 12, 10
_ELLIPSIS = "..."


def text_size(height: int, width: int) -> int:
    """Pixels of text that suit a picture."""
    return max(round(_TEXT * min(height, width) / 240), _LEAST_TEXT)


def ink_on(color: Color) -> Color:
    """Black or white, whichever is easier to read on a colour."""
    red, green, blue = color
    return _DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 125 else _WHITE


def text_width(text: str, size: int) -> int:
    """Pixels of a line of text from left to right."""
    return int(np.ceil(_font(size).getlength(text)))


def line_height(size: int) -> int:
    """Pixels of a line of text from top to bottom, tails included."""
    return sum(_font(size).getmetrics())


def fit(text: str, size: int, width: int) -> str:
    """The text on one line, or as much of its beginning as a width has room for."""
    text = " ".join(text.split())
    if text_width(text, size) <= width:
        return text
    text = text[: max(width, 0)]  # a letter takes a pixel at least
    while text and text_width(text + _ELLIPSIS, size) > width:
        text = text[:-1]
    return text + _ELLIPSIS if text else ""


def wrap(text: str, size: int, width: int) -> list[str]:
    """The text in lines no wider than a width, broken between words where that is possible."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size) <= width:
            lines[-1] = joined
            continue
        pieces = _pieces(word, size, width)
        lines = [*filter(None, lines), *pieces]
    return lines


def _pieces(word: str, size: int, width: int) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def write(image: np.ndarray, text: str, x: int, y: int, size: int, color: Color) -> None:
    """Write a line of text onto an image, its upper left corner at a pixel; cut at the border."""
    room = image[y : y + line_height(size), x:]
    mask = _mask(text, size)[: room.shape[0], : room.shape[1], None]
    target = room[: mask.shape[0], : mask.shape[1]]
    target[...] = target + (np.array(color) - target) * mask


@lru_cache(maxsize=1024)
def _mask(text: str, size: int) -> np.ndarray:
    """(h, w) float32: how much of each pixel the text covers."""
    canvas = Image.new("L", (max(text_width(text, size), 1), line_height(size)))
    ImageDraw.Draw(canvas).text((0, 0), text, fill=255, font=_font(size))
    return np.asarray(canvas, np.float32) / 255


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def place_labels(
    boxes: np.ndarray, sizes: Sequence[tuple[int, int]], frame: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """Find places for labels at their boxes; the first ones choose first.

    Args:
        boxes: (n, 4) of whole pixels.
        sizes: width and height of each label.
        frame: height and width of the picture.

    Returns:
        The upper left corner of each, so that none overlaps another one or leaves the frame; None
        where there is no room.
    """
    places: list[tuple[int, int] | None] = []
    taken = np.zeros((0, 4), np.int64)
    for box, (width, height) in zip(boxes, sizes):
        free = np.zeros((0, 2), np.int64)
        if width <= frame[1] and height <= frame[0]:
            corners = np.clip(_corners(box, taken, width, height), 0, None)
            corners = np.minimum(corners, [frame[1] - width, frame[0] - height])
            free = corners[~_overlaps(corners, width, height, taken)]
        places.append((int(free[0, 0]), int(free[0, 1])) if len(free) else None)
        if len(free):
            taken = np.vstack([taken, [*free[0], *(free[0] + [width, height])]])
    return places


def _corners(box: np.ndarray, taken: np.ndarray, width: int, height: int) -> np.ndarray:
    """Places for a label, (m, 2), the best first: at its box, then around labels, nearest first."""
    x1, y1, x2, y2 = np.asarray(box) + np.array([0, 0, 1, 1])
    own = [(x, y) for y in (y1 - height, y1, y2 - height, y2) for x in (x1, x2 - width)]
    rows = np.concatenate([taken[:, 3], taken[:, 1] - height])
    columns = np.concatenate([taken[:, 2], taken[:, 0] - width])
    around = np.concatenate(
        [
            np.stack([np.full_like(rows, x1), rows], axis=1),
            np.stack([columns, np.full_like(columns, y1 - height)], axis=1),
            np.stack([columns, rows], axis=1),
        ]
    )
    far = np.abs(around - [x1, y1 - height]).sum(axis=1)
    return np.concatenate([np.array(own, np.int64), around[np.argsort(far, kind="stable")]])


def _overlaps(corners: np.ndarray, width: int, height: int, taken: np.ndarray) -> np.ndarray:
    """(m,) whether a label at each corner would overlap one that is placed."""
    x, y = corners[:, :1], corners[:, 1:]
    apart = (x >= taken[:, 2]) | (x + width <= taken[:, 0])
    apart |= (y >= taken[:, 3]) | (y + height <= taken[:, 1])
    return ~apart.all(axis=1)
