"""A video with its tubes drawn, and a timeline of them under the picture.

Drawn in a second pass over the video, when all tubes are known: a tube's score, whether it is
long enough and where refinement cuts it are known only after its end. So nothing has to be held
back, and memory stays flat whatever the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pcsc_d2.detect.background import background
from pcsc_d2.detect.findings import Findings
from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.sources import Frame
from pcsc_d2.video.drawing import color_of, draw_boxes, write_video
from pcsc_d2.video.timeline import Timeline

# Pixels of the shorter side under which a picture is enlarged, for the text to be legible.
_SMALL = 200
_FRAMES_AHEAD = 4


def annotate(path: Path, frames: Iterable[Frame], findings: Findings, profile: Profile) -> None:
    """Writes the annotated video; decoding, drawing and encoding each have a thread.

    Args:
        path: of the MP4.
        frames: those that the findings are about, once more.

    Raises:
        OSError: it cannot be written.
        VideoError: the frames cannot be read any more.
    """
    decoded = background(profile.timed("re-decode", frames), _FRAMES_AHEAD)
    drawn = background(_drawn(decoded, findings, profile), _FRAMES_AHEAD)
    try:
        with profile.part("write", len(findings.times)):
            write_video(
                path,
                profile.waiting(drawn),
                findings.rate,
                times=_times(findings),
                preset="veryfast",
            )
    finally:
        drawn.close()


def _times(findings: Findings) -> Iterator[float]:
    """The video starts where its part starts."""
    return (float(time - findings.times[0]) for time in findings.times)


def _drawn(frames: Iterator[Frame], findings: Findings, profile: Profile) -> Iterator[np.ndarray]:
    picture = Picture(findings)
    try:
        for index, frame in enumerate(frames):
            if index >= len(findings.times):
                break
            with profile.part("draw"):
                image = picture.of(frame.pixels, findings.first + index)
            yield image
    finally:
        frames.close()


class Picture:
    """Draws what was found on the frames of a video, each tube in its own steady colour."""

    def __init__(self, findings: Findings) -> None:
        tubes, self._findings = findings.tubes, findings
        height, width = findings.size
        self._zoom = -(-240 // min(height, width)) if min(height, width) < _SMALL else 1
        height, width = height * self._zoom, width * self._zoom
        self._start, self._last = tubes.start, tubes.last
        self._labels = [str(tubes.labels[c]) for c in tubes.cls]
        self._colors = [color_of(number) for number in findings.number.tolist()]
        order = [position for _, position in findings.in_order()]
        self._timeline = Timeline(
            findings.spans[order],
            [f"{self._labels[i]} {tubes.score[i]:.2f}" for i in order],
            [self._colors[i] for i in order],
            findings.extent,
            width,
            scale=max(min(height, width) / 240, 0.5),
        )

    def of(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """The picture of a frame, 1-based, with the timeline under it."""
        tubes = self._findings.tubes
        there = np.flatnonzero((self._start <= frame) & (frame <= self._last))
        there = there[np.argsort(tubes.score[there], kind="stable")]  # the best on top
        rows = tubes.ptr[there] + frame - self._start[there]
        last = np.array([0, 0, 1, 1])  # corners stay inclusive
        boxes = (tubes.boxes[rows] + last) * self._zoom - last
        captions = [f"{self._labels[t]} {s:.2f}" for t, s in zip(there, tubes.fscores[rows])]
        if self._zoom > 1:
            pixels = pixels.repeat(self._zoom, axis=0).repeat(self._zoom, axis=1)
        image = draw_boxes(pixels, boxes, captions, [self._colors[t] for t in there])
        time = float(self._findings.shown(np.array(frame)))
        return np.concatenate([image, self._timeline.at(time)])
