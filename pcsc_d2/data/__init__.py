"""Datasets and the loading of clips, registered with Detectron2."""

from .builtin import dataset_root, register_all, training_dicts
from .clip_mapper import ClipMapper
from .clip_transforms import register_clip_transforms
from .flow_cache import flow_store, precompute_flow
from .flow_transforms import register_flow_transforms
from .training_clips import ResumableTrainingSampler, TrainingClips

__all__ = [
    "ClipMapper",
    "ResumableTrainingSampler",
    "TrainingClips",
    "dataset_root",
    "flow_store",
    "precompute_flow",
    "training_dicts",
]

register_flow_transforms()
register_clip_transforms()
register_all()
