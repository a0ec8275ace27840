"""Datasets and the loading of clips, registered with Detectron2."""

from .builtin import dataset_root, register_all, training_dicts
from .clip_mapper import ClipMapper
from .clip_transforms import register_clip_transforms
from .flow_cache import flow_store, precompute_flow
from .flow_transforms import register_flow_transforms
from .loaders import start_at, testing_loader, training_loader
from .training_clips import ClipSampler, ResumableTrainingSampler, TrainingClips

__all__ = [
    "ClipMapper",
    "ClipSampler",
    "ResumableTrainingSampler",
    "TrainingClips",
    "dataset_root",
    "flow_store",
    "precompute_flow",
    "start_at",
    "testing_loader",
    "training_dicts",
    "training_loader",
]

register_flow_transforms()
register_clip_transforms()
register_all()
