"""The evaluator's page: tables and curves, and the best and worst tubes as pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np

from pcsc_d2.tubes import GroundTruth, Refinement, Tubes
from pcsc_d2.tubes.boxes import scale_boxes
from pcsc_d2.tubes.report.actionness_curves import notable_curves
from pcsc_d2.tubes.report.examples import notable_tubes
from pcsc_d2.tubes.report.page import report_page
from pcsc_d2.tubes.scoring.results import Results
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.video import VideoError, read_frames
from pcsc_d2.video.drawing import color_of, draw_boxes
from pcsc_d2.video.enlarging import enlarge, legible_factor

logger = logging.getLogger(__name__)

PICTURES_PER_TUBE = 4
PICTURE_HEIGHT = 180
Files = dict[str, tuple[str, str]]


def write_page(
    path: Path,
    title: str,
    results: Results,
    tubes: Tubes | None,
    truth: GroundTruth,
    files: Files,
    refinement: Refinement | None = None,
) -> None:
    """Write the page, one HTML file that needs no network.

    Args:
        path: of the file.
        title: what was evaluated.
        results: the scores.
        tubes: whose best and worst are shown; None shows none.
        truth: ground truth, drawn in white.
        files: video name -> file and decoding rule; tubes of other videos are not shown.
        refinement: that gave the tubes; None draws no curves of actionness.
    """
    pictures = []
    for caption, tube in notable_tubes(tubes, truth) if tubes is not None and files else []:
        name = str(tube.videos[tube.video[0]])
        if name in files:
            try:
                pictures.append((caption, _filmstrip(tube, truth, name, *files[name])))
            except VideoError as error:
                logger.warning("no picture of a tube: %s", error)
    curves = None
    if refinement is not None:
        curves = refinement.summary(), notable_curves(refinement, truth)
    with atomic_write(path, "w") as file:
        file.write(report_page(results, title, pictures, curves))


def _filmstrip(tube: Tubes, truth: GroundTruth, name: str, path: str, rule: str) -> bytes:
    """Frames along a tube, side by side, as PNG: the tube in colour, ground truth in white."""
    frames = np.linspace(tube.start[0], tube.last[0], PICTURES_PER_TUBE).round().astype(int)
    cls, images = int(tube.classes[0]), []
    for frame, image in zip(frames, read_frames(path, frames - 1, rule)):
        # Text is written at the size that is shown.
        large = enlarge(image, legible_factor(*image.shape[:2]))
        scale = PICTURE_HEIGHT / len(large)
        large = cv2.resize(large, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale = len(large) / len(image)
        truths = scale_boxes(_boxes_at(truth.tubes, name, frame, cls), scale)
        box = scale_boxes(tube.boxes[frame - tube.start[0]][None], scale)
        drawn = draw_boxes(draw_boxes(large, truths), box, [f"frame {frame}"], [color_of(cls)])
        # With a transparent gap, whatever colour the page has.
        images.append(np.pad(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGRA), ((0, 0), (0, 4), (0, 0))))
    strip = np.concatenate(images, axis=1)[:, :-4]
    return cv2.imencode(".png", strip)[1].tobytes()


def _boxes_at(tubes: Tubes, name: str, frame: int, cls: int) -> np.ndarray:
    there = (tubes.start <= frame) & (frame <= tubes.last) & (tubes.classes == cls)
    chosen = np.flatnonzero(there & (tubes.videos[tubes.video] == name))
    return tubes.boxes[tubes.ptr[chosen] + frame - tubes.start[chosen]]
