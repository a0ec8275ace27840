"""Fitting temporal cooperation to tubes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from pcsc_d2.config import changed
from pcsc_d2.engine.actionness.samples import VideoSamples
from pcsc_d2.engine.actionness.task import keep, resumed
from pcsc_d2.engine.segments.samples import TubeSample, box_features, tubes_of
from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.segments import SegmentCooperation, tube_actionness
from pcsc_d2.modeling.actionness_head import BOTH
from pcsc_d2.modeling.segments import build_segments
from pcsc_d2.utils.progress import progress_bar


@dataclass(frozen=True)
class SegmentsTask:
    """Temporal cooperation (``MODEL.SEGMENTS``) as a ``Task``."""

    cfg: CfgNode
    name: ClassVar[str] = "segments"
    kind: ClassVar[str] = BOTH
    # A segment has no holes to be filtered out.
    windows: ClassVar[tuple[int, ...]] = (1,)

    @staticmethod
    def turned_on(cfg: CfgNode) -> CfgNode:
        """See ``Task``."""
        return changed(cfg, {"MODEL.ACTIONNESS.ON": False, "MODEL.SEGMENTS.ON": True})

    def new(self, shape: ShapeSpec) -> nn.Module:
        """See ``Task``."""
        return build_segments(self.cfg, shape.channels // len(STREAMS))

    def network(self, model: nn.Module) -> nn.Module:
        """See ``Task``."""
        return model.roi_heads.segments

    def settings(self) -> object:
        """See ``Task``."""
        return sorted(self.cfg.SOLVER.SEGMENTS.items()), self.cfg.MODEL.ACTIONNESS.LABEL_IOU

    def fit(self, network: nn.Module, files: Sequence[Path], state: Path) -> None:
        """See ``Task``."""
        node = self.cfg.SOLVER.SEGMENTS
        options = FitOptions(node.EPOCHS, node.BASE_LR, node.WEIGHT_DECAY, abs(self.cfg.SEED))
        tubes = tubes_of(files, self.cfg.MODEL.ACTIONNESS.LABEL_IOU)
        fit(network, list(tubes), options, state)

    def predict(self, network: nn.Module, files: Sequence[Path]) -> list[np.ndarray]:
        """See ``Task``."""
        pairs = ((VideoSamples.load(path).tubes, box_features(path)) for path in files)
        return [tube_actionness(network, tubes, features) for tubes, features in pairs]


class FitOptions(NamedTuple):
    """Of AdamW, a tube at a time."""

    epochs: int
    rate: float
    decay: float
    seed: int


def standardise(network: SegmentCooperation, tubes: Sequence[TubeSample]) -> None:
    """Set the mean and the deviation of each stream's channels over all boxes."""
    boxes = torch.cat([tube.features for tube in tubes], dim=1)
    network.mean.copy_(boxes.mean(dim=1))
    network.std.copy_(boxes.std(dim=1).clamp(min=1e-3))


def fit(
    network: SegmentCooperation,
    tubes: Sequence[TubeSample],
    options: FitOptions,
    state: Path | None = None,
) -> None:
    """Train on tubes, one at a time in random order.

    Tubes that hold their action, and as many others, drawn anew, make an epoch. With ``state`` each
    epoch is kept, and an interrupted fit goes on from there to the same end.

    Raises:
        ValueError: no tube holds its action.
    """
    if not any(tube.labels.any() for tube in tubes):
        raise ValueError(
            "no tube of the training videos follows an action: train the detector, or lower "
            "MODEL.ACTIONNESS.LABEL_IOU where its boxes are loose"
        )
    network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=options.decay)
    done = resumed(state, network, optimizer)
    if done == 0:
        standardise(network, tubes)
    positive = [i for i, tube in enumerate(tubes) if tube.labels.any()]
    others = [i for i, tube in enumerate(tubes) if not tube.labels.any()]
    size = len(positive) + min(len(others), len(positive))
    with progress_bar((options.epochs - done) * size, "fitting segments", "tube", True) as bar:
        for epoch in range(done, options.epochs):
            generator = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
            drawn = torch.randperm(len(others), generator=generator)[: len(positive)].tolist()
            order = [*positive, *(others[i] for i in drawn)]
            for i in torch.randperm(len(order), generator=generator).tolist():
                optimizer.zero_grad()
                network.losses(*tubes[order[i]]).total.backward()
                optimizer.step()
                bar.update(1)
            keep(state, epoch + 1, network, optimizer)
    network.requires_grad_(False).eval()
