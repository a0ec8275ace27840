"""Datasets and the loading of clips, registered with Detectron2."""

from .builtin import register_all
from .clip_mapper import ClipMapper
from .clip_transforms import register_clip_transforms
from .datasets import count_training_dicts, dataset_root, training_dicts
from .flow_cache import flow_store, precompute_flow
from .flow_transforms import register_flow_transforms
from .loaders import evaluation_loader, start_at, training_loader
from .own import check_datasets, register_action_dataset, register_own_datasets
from .training_clips import ClipSampler, ResumableTrainingSampler, TrainingClips

__all__ = [
    "ClipMapper",
    "ClipSampler",
    "ResumableTrainingSampler",
    "TrainingClips",
    "check_datasets",
    "count_training_dicts",
    "dataset_root",
    "evaluation_loader",
    "flow_store",
    "precompute_flow",
    "register_action_dataset",
    "register_own_datasets",
    "start_at",
    "training_dicts",
    "training_loader",
]

register_flow_transforms()
register_clip_transforms()
register_all()
register_own_datasets()
