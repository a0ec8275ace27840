"""The graph of an ONNX file as a network for clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pcsc_d2.runtime.graphs import Run

OUTPUTS = ("boxes", "scores", "classes", "actionness", "count")
Detected = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class OnnxNetwork:
    """Answers as a network out of a ``.pt`` file does, clip by clip.

    Args:
        run: a compiled graph with the inputs and outputs of a file.
        actionness: whether the model has it.
        one_clip: the graph takes one clip at a time.
    """

    def __init__(self, run: Run, actionness: bool, one_clip: bool) -> None:
        self._run, self._actionness, self._one_clip = run, actionness, one_clip

    def __call__(self, rgb: torch.Tensor, flow: torch.Tensor) -> list[Detected]:
        """See ``pcsc_d2.export.network.ExportedDetector``; there is no Kinetics column."""
        if self._one_clip and len(rgb) > 1:
            return [found for pair in zip(rgb.split(1), flow.split(1)) for found in self(*pair)]
        inputs = {"rgb": rgb.contiguous().numpy(), "flow": flow.contiguous().numpy()}
        *columns, counts = self._run(inputs)
        return [
            detected([column[i] for column in columns], int(n), self._actionness)
            for i, n in enumerate(counts)
        ]


def detected(columns: Sequence[np.ndarray], count: int, actionness: bool) -> Detected:
    """The detections of one clip, without what they are padded with.

    Args:
        columns: boxes, scores, classes, actionness, of K rows each.
        count: rows that hold detections.
        actionness: whether the model has it.
    """
    found = [torch.from_numpy(np.array(column[:count])) for column in columns]
    if not actionness:
        found[-1] = found[-1][:0]
    return tuple(found)
