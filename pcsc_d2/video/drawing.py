"""Boxes and tubes drawn on frames, sheets of images, and videos that a browser plays.

Images are (H, W, 3) uint8 RGB; boxes x1 y1 x2 y2 in pixels, 0-based, corners inclusive.
"""

from __future__ import annotations

import colorsys
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import IO

import av
import cv2
import numpy as np

from pcsc_d2.tubes import Tubes
from pcsc_d2.utils.files import atomic_write

Color = tuple[int, int, int]
_WHITE: Color = (255, 255, 255)
_BLACK: Color = (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Hues a golden angle apart stay apart however many there are.
_GOLDEN_ANGLE = (3 - math.sqrt(5)) / 2
# Seconds; what video files commonly count in.
_TICK = Fraction(1, 90000)


def color_of(number: int) -> Color:
    """The colour of a class or tube: always the same, and unlike that of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN_ANGLE % 1, 0.9, 1.0)
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
        captions: n texts to stand above the boxes, or none.
        colors: n colours, or none for white.
    """
    image = np.ascontiguousarray(image).copy()
    scale = max(min(image.shape[:2]) / 240, 0.5)
    corners = np.rint(np.asarray(boxes).reshape(-1, 4)).astype(int).tolist()
    for i, (x1, y1, x2, y2) in enumerate(corners):
        color = colors[i] if colors else _WHITE
        cv2.rectangle(image, (x1, y1), (x2, y2), color, max(round(scale * 1.5), 1))
        if captions and captions[i]:
            _write(image, captions[i], (x1, y1), color, 0.4 * scale)
    return image


def _write(
    image: np.ndarray, text: str, corner: tuple[int, int], color: Color, scale: float
) -> None:
    """Text on a plate of its own above a corner, or below it where there is no room."""
    (width, height), drop = cv2.getTextSize(text, _FONT, scale, 1)
    x = min(max(corner[0], 0), max(image.shape[1] - width, 0))
    top = min(max(corner[1], 0), image.shape[0] - 1)
    y = top - drop if top >= height + drop else top + height + drop
    cv2.rectangle(image, (x, y - height - 1), (x + width, y + drop - 1), color, cv2.FILLED)
    dark = sum(color) < 330
    cv2.putText(image, text, (x, y), _FONT, scale, _WHITE if dark else _BLACK, 1, cv2.LINE_AA)


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
        captions: a text for each, above it, or none.
        gap: pixels between cells.

    Returns:
        One (H, W, 3) uint8 image.
    """
    head = 16 if captions else 0
    height = max(image.shape[0] for image in images) + head + gap
    width = max(image.shape[1] for image in images) + gap
    columns = min(columns, len(images))
    sheet = np.full((height * -(-len(images) // columns), width * columns, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        sheet[y + head : y + head + image.shape[0], x : x + image.shape[1]] = image
        if captions:
            title = sheet[y : y + head, x : x + width - gap]
            cv2.putText(title, captions[i], (1, 12), _FONT, 0.4, _BLACK, 1, cv2.LINE_AA)
    return sheet


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an RGB image atomically; ValueError for a suffix of no known format."""
    suffix = os.path.splitext(path)[1]
    if not cv2.haveImageWriter(os.fspath(path)):
        raise ValueError(f"{path}: no image can be written with the suffix '{suffix}'")
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with atomic_write(path) as file:
        file.write(data.tobytes())


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    rate: float = 25,
    quality: int = 20,
    times: Iterable[float] | None = None,
    preset: str = "medium",
) -> int:
    """Write an MP4 that browsers play (H.264, yuv420p, index first), atomically.

    An odd height or width gets one more row or column, a copy of the last, as the format needs.

    Args:
        path: of the file.
        frames: (H, W, 3) uint8 RGB of one size.
        rate: frames per second.
        quality: x264's constant rate factor; lower is better and larger, 10 is near lossless.
        times: seconds at which the frames are shown, ascending, for a rate that varies.
        preset: x264's; a faster one makes larger files.

    Returns:
        The number of frames.

    Raises:
        ValueError: there are no frames.
    """
    with atomic_write(path, "w+b") as file, _container(file) as container:
        options = {"crf": str(quality), "preset": preset}
        fraction = Fraction(rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=fraction, options=options)
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = _TICK
        count = _encode(frames, iter(times) if times is not None else None, stream, container)
        if not count:
            raise ValueError(f"{path}: there are no frames to write")
        container.mux(stream.encode())
    return count


class _Sink:
    """A file for PyAV, which reports an error of its own in place of the file's.

    Attributes:
        name: by which FFmpeg opens the file once more, to put the index first.
        error: what a write raised, such as that the disk is full.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.name, self.error = file, file.name, None
        self.seek, self.tell = file.seek, file.tell

    def write(self, data: bytes) -> int:
        try:
            written = self._file.write(data)
            self._file.flush()  # FFmpeg is going to read the file by its name
            return written
        except OSError as error:
            self.error = error
            raise


@contextmanager
def _container(file: IO[bytes]) -> Iterator[av.container.OutputContainer]:
    """An MP4 whose index comes first; raises what the file raises."""
    sink = _Sink(file)
    try:
        with av.open(sink, "w", format="mp4", options={"movflags": "+faststart"}) as container:
            yield container
    except Exception:
        if sink.error is not None:
            raise sink.error from None
        raise


def _encode(
    frames: Iterable[np.ndarray],
    times: Iterator[float] | None,
    stream: av.VideoStream,
    container: av.container.OutputContainer,
) -> int:
    count, tick = 0, -1
    for frame in frames:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not count:
            stream.height, stream.width = frame.shape[:2]
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        if times is not None:
            tick = max(round(next(times) / _TICK), tick + 1)
            picture.pts, picture.time_base = tick, _TICK
        container.mux(stream.encode(picture))
        count += 1
    return count
