"""Action tubes in one's own videos; without Detectron2 where the model is an exported file."""

from pcsc_d2.detect.detector import ActionDetector, DetectOptions, Moment
from pcsc_d2.detect.model import ClipDetections, ClipModel, ModelError, ModelInfo, load_model

__all__ = [
    "ActionDetector",
    "ClipDetections",
    "ClipModel",
    "DetectOptions",
    "ModelError",
    "ModelInfo",
    "Moment",
    "load_model",
]
