"""A strip that shows from when to when each tube lasts, and where the video is just now."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pcsc_d2.video.drawing import Color

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _RULE = (22, 26, 33), (222, 226, 232), (58, 66, 78)
_MOST_ROWS = 8
# Seconds between marks that people can count in.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def pack_rows(spans: np.ndarray, most: int) -> np.ndarray:
    """Put spans into as few rows as keep them apart.

    Args:
        spans: (n, 2) start and end.
        most: rows; where that is too few, a span goes to the row that is free again first.

    Returns:
        (n,) row of each span, 0-based.
    """
    rows = np.zeros(len(spans), np.int64)
    free_at: list[float] = []
    for i in np.argsort(spans[:, 0], kind="stable").tolist():
        fitting = [row for row, free in enumerate(free_at) if free <= spans[i, 0]]
        if not fitting and len(free_at) < most:
            fitting = [len(free_at)]
            free_at.append(0.0)
        rows[i] = fitting[0] if fitting else int(np.argmin(free_at))
        free_at[rows[i]] = max(free_at[rows[i]], spans[i, 1])
    return rows


class Timeline:
    """The strip for one video; ``at`` draws the line of the present on it.

    Args:
        spans: (n, 2) seconds, start and end of each tube.
        captions: n texts, written where they fit into their bar.
        colors: n colours.
        extent: seconds at which the video starts and ends.
        width: pixels.
        scale: of text and bars; 1 suits a video of 240 rows.
    """

    def __init__(
        self,
        spans: np.ndarray,
        captions: Sequence[str],
        colors: Sequence[Color],
        extent: tuple[float, float],
        width: int,
        scale: float = 1.0,
    ) -> None:
        self._scale, self._extent = scale, (extent[0], max(extent[1], extent[0] + 1e-6))
        rows = pack_rows(spans, _MOST_ROWS)
        bar, marks = round(14 * scale), round(14 * scale)
        height = (int(rows.max(initial=0)) + 1) * bar + marks
        self._strip = np.full((height + height % 2, width, 3), _PAPER, np.uint8)
        self._draw_marks(height - marks)
        for row, span, caption, color in zip(rows.tolist(), spans, captions, colors):
            self._draw_bar(row * bar, bar, span, caption, color)

    def at(self, time: float) -> np.ndarray:
        """The (h, width, 3) uint8 strip with a line at a time in seconds."""
        strip = self._strip.copy()
        x, thick = self._x(time), max(round(self._scale), 1)
        strip[:, max(x - thick // 2, 0) : x - thick // 2 + thick] = (255, 255, 255)
        return strip

    def _x(self, time: float) -> int:
        begin, end = self._extent
        width = self._strip.shape[1]
        return min(max(int((time - begin) / (end - begin) * width), 0), width - 1)

    def _draw_bar(self, y: int, height: int, span: np.ndarray, caption: str, color: Color) -> None:
        x1 = self._x(span[0])
        x2 = max(self._x(span[1]) + int(span[1] >= self._extent[1]), x1 + 1)
        cv2.rectangle(self._strip, (x1, y + 1), (x2 - 1, y + height - 2), color, cv2.FILLED)
        dark = 0.3 * color[0] + 0.6 * color[1] + 0.1 * color[2] < 110
        ink = (255, 255, 255) if dark else (0, 0, 0)
        bar = self._strip[y : y + height, x1:x2]
        self._write(bar, caption, 3, height - round(4 * self._scale), ink)

    def _draw_marks(self, y: int) -> None:
        begin, end = self._extent
        room = self._text_width("00:00:00") * 1.5 / self._strip.shape[1] * (end - begin)
        step = next((s for s in _STEPS if s >= room), _STEPS[-1])
        first = int(np.ceil(begin / step))
        for i in range(first, int(end / step) + 1):
            x = self._x(i * step)
            self._strip[:y, x] = _RULE
            baseline = self._strip.shape[0] - round(4 * self._scale)
            self._write(self._strip, clock(i * step), x + 2, baseline, _INK)

    def _write(self, image: np.ndarray, text: str, x: int, y: int, color: Color) -> None:
        """Text with its lower left corner there, if the image has room for it."""
        if x + self._text_width(text) <= image.shape[1]:
            target = np.ascontiguousarray(image)
            cv2.putText(target, text, (x, y), _FONT, 0.32 * self._scale, color, 1, cv2.LINE_AA)
            image[...] = target

    def _text_width(self, text: str) -> int:
        return cv2.getTextSize(text, _FONT, 0.32 * self._scale, 1)[0][0]


def clock(seconds: float) -> str:
    """A time as people read it: 0.5, 12, 1:05, 1:02:03."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.3g}"
    minutes = f"{whole // 60 % 60}:{whole % 60:02d}"
    return minutes if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
