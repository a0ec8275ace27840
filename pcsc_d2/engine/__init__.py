"""Training and evaluating with Detectron2's trainer."""

from .epochs import epochs_to_iterations
from .hooks import SeedEachIteration, StageWarmup
from .setup import setup
from .trainer import Trainer

__all__ = ["SeedEachIteration", "StageWarmup", "Trainer", "epochs_to_iterations", "setup"]
