"""Action tubes: structures, linking, refinement and scores, for any detector. NumPy alone."""

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.metrics import frame_map, video_map
from pcsc_d2.tubes.structures import Tubes

__all__ = ["Detections", "GroundTruth", "Tubes", "frame_map", "video_map"]
