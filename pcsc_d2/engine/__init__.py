"""Training and evaluating with Detectron2's trainer."""

from pcsc_d2.engine.epochs import epochs_to_iterations
from pcsc_d2.engine.hooks import SeedEachIteration, StageWarmup
from pcsc_d2.engine.setup import setup
from pcsc_d2.engine.trainer import Trainer

__all__ = ["SeedEachIteration", "StageWarmup", "Trainer", "epochs_to_iterations", "setup"]
