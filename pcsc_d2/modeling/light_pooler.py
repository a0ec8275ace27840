"""Detectron2's pooler over pyramid levels, for inference on a CPU."""

from __future__ import annotations

import torch
from detectron2.layers import ROIAlign
from detectron2.modeling.poolers import (
    ROIPooler,
    assign_boxes_to_levels,
    convert_boxes_to_pooler_format,
)
from detectron2.structures import Boxes
from torch import nn

from pcsc_d2.layers.roi_sums import ROISums


class LightPooler(nn.Module):
    """In place of a ``ROIPooler`` of aligned ROIAligns; what it gives has channels last.

    Args:
        pooler: see ``is_aligned``.
    """

    def __init__(self, pooler: ROIPooler) -> None:
        super().__init__()
        self.level_poolers = nn.ModuleList(
            ROISums(align.output_size, align.spatial_scale, align.sampling_ratio)
            for align in pooler.level_poolers
        )
        self.output_size = pooler.output_size
        canonical = (pooler.canonical_box_size, pooler.canonical_level)
        self._levels = (pooler.min_level, pooler.max_level, *canonical)

    def forward(self, x: list[torch.Tensor], box_lists: list[Boxes]) -> torch.Tensor:
        """As of ``ROIPooler``: maps (N, C, H_l, W_l) and N times boxes -> (R, C, size, size)."""
        boxes = convert_boxes_to_pooler_format(box_lists)
        if len(self.level_poolers) == 1:
            return self.level_poolers[0](x[0], boxes)
        levels = assign_boxes_to_levels(box_lists, *self._levels)
        found = x[0].new_empty(len(boxes), *self.output_size, x[0].shape[1])
        for level, sums in enumerate(self.level_poolers):
            rows = (levels == level).nonzero()[:, 0]
            found[rows] = sums(x[level], boxes[rows]).permute(0, 2, 3, 1)
        return found.permute(0, 3, 1, 2)


def is_aligned(pooler: nn.Module) -> bool:
    """Whether a module is such a pooler."""
    if not isinstance(pooler, ROIPooler):
        return False
    return all(isinstance(each, ROIAlign) and each.aligned for each in pooler.level_poolers)
