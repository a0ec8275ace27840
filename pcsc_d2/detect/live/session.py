"""A live session: capture, detector, page and recording, until it ends or somebody stops it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pcsc_d2.detect.camera import interrupt_stops
from pcsc_d2.detect.detector import ActionDetector, StreamResult
from pcsc_d2.detect.live.broadcast import Broadcast, Status
from pcsc_d2.detect.live.capture import Capture
from pcsc_d2.detect.live.recording import Recording
from pcsc_d2.detect.live.server import serving
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.video.drawing import color_of, draw_boxes
from pcsc_d2.video.enlarging import enlarge, legible_factor

_QUALITY = 80
# Pictures over which their rate is told.
_LATELY = 20


@dataclass(frozen=True)
class LiveOptions:
    """How a session is shown.

    Attributes:
        port, host: of the page, see ``server.serving``.
        folder: of the recording; None records nothing.
        minutes: that the recording keeps.
        min_score: of the boxes that are drawn.
        end: seconds after which it ends.
    """

    port: int
    host: str = "127.0.0.1"
    folder: Path | None = None
    minutes: int = 10
    min_score: float = 0.3
    end: float = float("inf")


def run_live(
    capture: Capture,
    detector: ActionDetector,
    options: LiveOptions,
    told: Callable[[str], object] = print,
) -> Status:
    """Watch until the feed is over, the time is, or Ctrl-C; how it went in the end.

    The picture that is shown is a key frame with its own boxes. So nothing is drawn beside what it
    belongs to, and all is late by the same lag, which the page says.

    Args:
        capture: for one pass.
        detector: with a batch of one key frame, for the least lag.
        options: how it is shown.
        told: is told the page's address.

    Raises:
        OSError: the port cannot be had, or the recording not be written.
    """
    broadcast = Broadcast(capture.name, lambda: _counts(capture))
    with ExitStack() as stack:
        recording = None
        if options.folder is not None:
            recording = Recording(options.folder, options.minutes, capture.rate)
            stack.callback(recording.close)
        address = stack.enter_context(serving(broadcast, options.port, options.host))
        told(f"page: {address} (Ctrl-C ends it)")
        stack.enter_context(interrupt_stops(capture))
        shown: deque[float] = deque(maxlen=_LATELY)
        before = 0
        for moment in detector.stream(capture, ahead=1):
            if moment.time >= options.end:
                capture.stop()
            kept = capture.seen(moment.frame)
            if kept is None or moment.frame == before:  # the last moment brings tubes alone
                continue
            (came, pixels), before = kept, moment.frame
            keep = moment.scores >= options.min_score
            picture = _drawn(pixels, moment, keep)
            now = time.monotonic()
            shown.append(now)
            status = Status(
                source=capture.name,
                lag=round(now - came, 3),
                rate=round(_rate(shown), 2),
                found=tuple(sorted({moment.labels[i] for i in np.flatnonzero(keep)})),
            )
            broadcast.publish(_jpeg(picture), status)
            if recording is not None:
                recording.add(picture, moment.time)
    return broadcast.status


def _drawn(pixels: np.ndarray, moment: StreamResult, keep: np.ndarray) -> np.ndarray:
    factor = legible_factor(*pixels.shape[:2])
    order = np.flatnonzero(keep)[np.argsort(moment.scores[keep], kind="stable")]
    return draw_boxes(
        enlarge(pixels, factor),
        scale_boxes(moment.boxes[order], factor),
        [f"{moment.labels[i]} {moment.scores[i]:.2f}" for i in order],
        [color_of(int(moment.paths[i]) + 1) for i in order],
    )


def _counts(capture: Capture) -> dict[str, Any]:
    return {"state": capture.state, "came": capture.came, "dropped": capture.dropped}


def _rate(shown: deque[float]) -> float:
    """Pictures per second."""
    span = shown[-1] - shown[0]
    return (len(shown) - 1) / span if span > 0 else 0.0


def _jpeg(picture: np.ndarray) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    fine, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert fine
    return data.tobytes()
