"""Action tubes in one's own videos; without Detectron2 where the model is an exported file."""

from pcsc_d2.detect.detector import ActionDetector, DetectOptions, StreamResult
from pcsc_d2.detect.exchange.supervision import to_supervision
from pcsc_d2.models.clip_model import ClipDetections, ClipModel
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.loading import load_model

__all__ = [
    "ActionDetector",
    "ClipDetections",
    "ClipModel",
    "DetectOptions",
    "ModelError",
    "ModelInfo",
    "StreamResult",
    "load_model",
    "to_supervision",
]
