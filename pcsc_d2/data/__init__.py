"""Datasets and the loading of clips, registered with Detectron2."""

from pcsc_d2.data.builtin import register_all
from pcsc_d2.data.clip_mapper import ClipMapper
from pcsc_d2.data.clip_transforms import register_clip_transforms
from pcsc_d2.data.custom import (
    check_datasets,
    check_registered,
    register_action_dataset,
    register_custom_datasets,
)
from pcsc_d2.data.datasets import (
    count_training_dicts,
    dataset_root,
    evaluated_truth,
    evaluation_dicts,
    training_dicts,
)
from pcsc_d2.data.flow_cache import flow_store, precompute_flow
from pcsc_d2.data.flow_transforms import register_flow_transforms
from pcsc_d2.data.loaders import (
    build_clip_test_loader,
    build_clip_train_loader,
    evaluation_loader,
    start_at,
    training_loader,
)
from pcsc_d2.data.training_clips import ClipSampler, ResumableTrainingSampler, TrainingClips

__all__ = [
    "ClipMapper",
    "ClipSampler",
    "ResumableTrainingSampler",
    "TrainingClips",
    "build_clip_test_loader",
    "build_clip_train_loader",
    "check_datasets",
    "check_registered",
    "count_training_dicts",
    "dataset_root",
    "evaluated_truth",
    "evaluation_dicts",
    "evaluation_loader",
    "flow_store",
    "precompute_flow",
    "register_action_dataset",
    "register_custom_datasets",
    "start_at",
    "training_dicts",
    "training_loader",
]

register_flow_transforms()
register_clip_transforms()
register_all()
register_custom_datasets()
