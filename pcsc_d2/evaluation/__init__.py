"""Evaluation under Detectron2's hooks."""

from pcsc_d2.evaluation.tube_evaluator import TubeEvaluator, detection_arrays
from pcsc_d2.evaluation.tube_options import link_options, refine_options, with_trained_refinement

__all__ = [
    "TubeEvaluator",
    "detection_arrays",
    "link_options",
    "refine_options",
    "with_trained_refinement",
]
