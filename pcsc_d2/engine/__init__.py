"""Training and evaluating with Detectron2's trainer."""

from pcsc_d2.engine.hooks import SeedEachIteration
from pcsc_d2.engine.predictor import ClipPredictor
from pcsc_d2.engine.schedule import epochs_to_iterations, scheduled, settle
from pcsc_d2.engine.setup import setup
from pcsc_d2.engine.trainer import Trainer

__all__ = [
    "ClipPredictor",
    "SeedEachIteration",
    "Trainer",
    "epochs_to_iterations",
    "scheduled",
    "settle",
    "setup",
]
