"""Tubes of videos with both streams' features, one tube at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pcsc_d2.engine.actionness.samples import VideoSamples, load_features
from pcsc_d2.modeling.actionness_head import BOTH


class TubeSample(NamedTuple):
    """A tube.

    Attributes:
        features: (2, L, C) float32 of its boxes, RGB then flow.
        cls: its class.
        labels: (L,) float32, 1 where it is at its action.
    """

    features: torch.Tensor
    cls: int
    labels: torch.Tensor


def tubes_of(files: Sequence[Path], label_iou: float) -> Iterator[TubeSample]:
    """The tubes of some videos' files, in the order of ``all_tubes``.

    Args:
        label_iou: over which a box is positive, see ``VideoSamples.extents``.
    """
    for path in files:
        samples = VideoSamples.load(path)
        if not len(samples.tubes):
            continue
        features = torch.from_numpy(box_features(path)).float()
        boxes = features.unflatten(1, (2, -1)).transpose(0, 1)
        labels = torch.from_numpy(samples.extents(label_iou)).float()
        for i, cls in enumerate(samples.tubes.classes.tolist()):
            rows = slice(int(samples.tubes.ptr[i]), int(samples.tubes.ptr[i + 1]))
            yield TubeSample(boxes[:, rows], cls, labels[rows])


def box_features(path: Path) -> np.ndarray:
    """(M, 2 C) float16 of the boxes of a video's tubes, RGB's and flow's."""
    rows = VideoSamples.load(path).rows
    if not len(rows):
        return np.zeros((0, 2), np.float16)
    return load_features(path, BOTH)[rows].reshape(len(rows), -1)
