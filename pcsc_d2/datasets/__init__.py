"""Datasets on disk: public ones, one's own (``custom``) and generated ones (``synthetic``)."""

from pcsc_d2.datasets.annotations import mask_boxes, read_annotations, read_puppet_masks
from pcsc_d2.datasets.repair import Clip, clip_to_image, fit_to_clips, measure_clips

__all__ = [
    "Clip",
    "clip_to_image",
    "fit_to_clips",
    "mask_boxes",
    "measure_clips",
    "read_annotations",
    "read_puppet_masks",
]
