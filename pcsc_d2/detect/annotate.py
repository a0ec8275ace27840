"""A video with its tubes drawn; the page beside it has their timeline.

Drawn in a second pass over the video, when all tubes are known: a tube's score, whether it is
long enough and where refinement cuts it are known only after its end. So nothing has to be held
back, and memory stays flat whatever the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.sources import Frame
from pcsc_d2.detect.video_result import VideoResult
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.utils.background import background
from pcsc_d2.video.drawing import color_of, draw_boxes
from pcsc_d2.video.enlarging import enlarge, legible_factor
from pcsc_d2.video.writing import write_video

_FRAMES_AHEAD = 4


def annotate(path: Path, frames: Iterable[Frame], result: VideoResult, profile: Profile) -> None:
    """Write the annotated video; decoding, drawing and encoding each have a thread.

    Args:
        path: of the MP4.
        frames: those that the result are about, once more.

    Raises:
        OSError: it cannot be written.
        VideoError: the frames cannot be read any more.
    """
    decoded = background(profile.timed("re-decode", frames), _FRAMES_AHEAD)
    drawn = background(_drawn(decoded, result, profile), _FRAMES_AHEAD)
    try:
        with profile.part("write", len(result.times)):
            write_video(
                path,
                profile.waiting(drawn),
                result.rate,
                times=_times(result),
                preset="veryfast",
            )
    finally:
        drawn.close()


def _times(result: VideoResult) -> Iterator[float]:
    """The video starts where its part starts."""
    return (float(time - result.times[0]) for time in result.times)


def _drawn(frames: Iterator[Frame], result: VideoResult, profile: Profile) -> Iterator[np.ndarray]:
    picture = Picture(result)
    try:
        for index, frame in enumerate(frames):
            if index >= len(result.times):
                break
            with profile.part("draw"):
                image = picture.of(frame.pixels, result.first + index)
            yield image
    finally:
        frames.close()


class Picture:
    """Draws what was found on the frames of a video, each tube in its own steady colour.

    Where there are persons, a person's tubes have one colour, and captions begin with the number.
    """

    def __init__(self, result: VideoResult) -> None:
        tubes, self._result = result.tubes, result
        self._factor = legible_factor(*result.size)
        self._start, self._last = tubes.start, tubes.last
        self._labels = [str(tubes.labels[c]) for c in tubes.classes]
        ids = result.number if result.persons is None else result.persons
        self._colors = [color_of(number) for number in ids.tolist()]
        if result.persons is not None:
            self._labels = [f"{p}: {n}" for p, n in zip(result.persons, self._labels)]

    def of(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """The picture of a frame, 1-based; a small one is enlarged."""
        tubes = self._result.tubes
        there = np.flatnonzero((self._start <= frame) & (frame <= self._last))
        there = there[np.argsort(tubes.scores[there], kind="stable")]  # the best on top
        rows = tubes.ptr[there] + frame - self._start[there]
        captions = [f"{self._labels[t]} {s:.2f}" for t, s in zip(there, tubes.box_scores[rows])]
        return draw_boxes(
            enlarge(pixels, self._factor),
            scale_boxes(tubes.boxes[rows], self._factor),
            captions,
            [self._colors[t] for t in there],
        )
