"""What guessing scores: the level against which a detector's frame mAP is read."""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.scoring.metrics import frame_map
from pcsc_d2.tubes.scoring.protocol import Protocol


def guessed_classes(ground_truth: GroundTruth, seed: int = 0) -> Detections:
    """Every true box, with a class and a score drawn at random.

    That is generous to chance, which would have to find the boxes too.
    """
    rng = np.random.default_rng(seed)
    tubes, count = ground_truth.tubes, len(ground_truth.tubes.boxes)
    return Detections.from_arrays(
        ground_truth.videos,
        ground_truth.labels,
        ground_truth.nframes,
        tubes.video[tubes.box_tubes],
        tubes.box_frames,
        tubes.boxes,
        rng.random(count),
        rng.integers(len(ground_truth.labels), size=count),
    )


def chance(ground_truth: GroundTruth, iou: float = 0.5, protocol: str | Protocol = "act") -> float:
    """Frame mAP in percent of true boxes whose classes are guessed."""
    return frame_map(guessed_classes(ground_truth), ground_truth, iou, protocol).mean
