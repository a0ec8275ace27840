"""Evaluation under Detectron2's hooks."""

from .tube_evaluator import TubeEvaluator

__all__ = ["TubeEvaluator"]
