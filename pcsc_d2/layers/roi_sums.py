"""ROIAlign as weighted sums of a map's cells, for inference on a CPU.

What ROIAlign takes from a bin is the mean of samples between cells, and the share of each cell is
the product of its shares in the row and in the column. A bin is therefore a short list of cells and
weights, and one call sums the lists of all boxes over all channels at once; the usual kernel goes
channel by channel and sample by sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ROISums(nn.Module):
    """In place of an aligned ROIAlign: (N, C, H, W) and boxes (R, 5) -> (R, C, size, size).

    Boxes are rows of the image's number and x1 y1 x2 y2, as torchvision's. Maps are fastest with
    channels last.

    Args:
        size: height and width of the output.
        scale: from the boxes' pixels to the map's cells.
        sampling_ratio: samples of a bin along an axis; 0 is one for each cell that it covers.
    """

    def __init__(self, size: tuple[int, int], scale: float, sampling_ratio: int) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = size, scale
        self.sampling_ratio = sampling_ratio

    def forward(self, maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        number, channels, height, width = maps.shape
        if not len(boxes):
            return maps.new_zeros(0, channels, *self.output_size)
        corners = boxes[:, 1:] * self.spatial_scale - 0.5
        rows, row_weights = self._cells(corners[:, 1], corners[:, 3], self.output_size[0], height)
        columns, weights = self._cells(corners[:, 0], corners[:, 2], self.output_size[1], width)
        # (R, size, size, rows of a bin, columns of a bin)
        rows = (boxes[:, 0].long() * height)[:, None, None] + rows
        cells = (rows * width)[:, :, None, :, None] + columns[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * weights[:, None, :, None, :]
        sums = F.embedding_bag(
            cells.flatten(3).flatten(0, 2),
            maps.permute(0, 2, 3, 1).reshape(number * height * width, channels),
            mode="sum",
            per_sample_weights=weights.flatten(3).flatten(0, 2),
        )
        return sums.view(len(boxes), *self.output_size, channels).permute(0, 3, 1, 2)

    def _cells(
        self, start: torch.Tensor, end: torch.Tensor, bins: int, size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Along one axis, the cells of each bin and their weights, (R, bins, most of a bin).

        Args:
            start, end: of the boxes, (R,) in cells.
            bins: of a box.
            size: cells of the map.
        """
        extent = ((end - start) / bins)[:, None, None]
        samples = extent.ceil()
        if self.sampling_ratio > 0:
            samples = torch.full_like(samples, self.sampling_ratio)
        sample = torch.arange(max(1, int(samples.max())), device=start.device)
        counted = samples.clamp(min=1)
        offset = torch.arange(bins, device=start.device)[:, None] + (sample + 0.5) / counted
        at = start[:, None, None] + offset * extent
        # As ROIAlign has it: nothing beyond a cell outside, the outermost cell's value before that.
        there = (sample < samples) & (at >= -1) & (at <= size)
        at = at.clamp(0, size - 1)
        low = at.floor()
        high = (low + 1).clamp(max=size - 1)
        shares = there / counted
        first = low[:, :, :1]
        most = int((high - first).mul(sample < samples).max()) + 1
        weights = at.new_zeros(len(start), bins, most)
        for cell, part in ((low, 1 - (at - low)), (high, at - low)):
            weights.scatter_add_(2, (cell - first).long().clamp(max=most - 1), shares * part)
        cells = first.long() + torch.arange(most, device=start.device)
        return cells.clamp(max=size - 1), weights
