"""How detections become tubes."""

from __future__ import annotations

from dataclasses import dataclass

from pcsc_d2.tubes.checks import require


@dataclass(frozen=True)
class LinkOptions:
    """How detections become tubes. The defaults are those of Singh et al. 2017.

    Attributes:
        min_score: a detection is dropped unless its score is over this.
        nms_top: best detections of a class and frame that enter suppression.
        nms_iou: a detection goes if it overlaps a better one by more than this (areas without +1).
        top: best detections of a class and frame that are linked.
        link_iou: a detection may continue a path whose last box it overlaps by at least this.
        gap: a path ends at this many consecutive frames without a detection; a path found in no
            more frames than this is dropped. (The authors' code has 3, its comments say 5.)
        min_length: a tube spans at least this many frames.
        score_boxes: a tube's score is the mean of this many best box scores.
        interpolate: fill gaps linearly, rather than with the next found box as the authors do.
        temporal_alpha: cost of a change of label in temporal labelling (the authors' is 3); None,
            as in PCSC, does not label.
    """

    min_score: float = 0.001
    nms_top: int = 50
    nms_iou: float = 0.45
    top: int = 10
    link_iou: float = 0.1
    gap: int = 3
    min_length: int = 10
    score_boxes: int = 40
    interpolate: bool = False
    temporal_alpha: float | None = None

    def __post_init__(self) -> None:
        for name in ("nms_top", "top", "gap", "min_length", "score_boxes"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; at least 1")
