"""The stages of cooperation: their heads, what these learn, and how their outputs are joined."""

from pcsc_d2.modeling.stages.heads import (
    DetectionHead,
    Predictions,
    calibrated,
    head_losses,
    head_output,
    mean_predictions,
    target_stream,
)
from pcsc_d2.modeling.stages.labels import label_proposals, log_proposals, sample_rows
from pcsc_d2.modeling.stages.outputs import MODES, Limits, combine

__all__ = [
    "MODES",
    "DetectionHead",
    "Limits",
    "Predictions",
    "calibrated",
    "combine",
    "head_losses",
    "head_output",
    "label_proposals",
    "log_proposals",
    "mean_predictions",
    "sample_rows",
    "target_stream",
]
