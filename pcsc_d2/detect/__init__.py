"""Action tubes in one's own videos; without Detectron2 where the model is an exported file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcsc_d2.utils.extras import imported_on_demand

if TYPE_CHECKING:
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

# Imported when they are asked for: the command says in one line what is not installed.
__getattr__ = imported_on_demand(
    __name__,
    {
        "ActionDetector": "pcsc_d2.detect.detector",
        "DetectOptions": "pcsc_d2.detect.detector",
        "StreamResult": "pcsc_d2.detect.detector",
        "to_supervision": "pcsc_d2.detect.exchange.supervision",
        "ClipDetections": "pcsc_d2.models.clip_model",
        "ClipModel": "pcsc_d2.models.clip_model",
        "ModelError": "pcsc_d2.models.info",
        "ModelInfo": "pcsc_d2.models.info",
        "load_model": "pcsc_d2.models.loading",
    },
)
