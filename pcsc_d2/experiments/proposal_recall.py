"""Recall of ground truth by the proposals of every stage, told apart by where they come from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou

from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.boxes import to_exclusive

IOU = 0.5


@dataclass(frozen=True)
class FrameTruth:
    """Ground truth of a key frame.

    Attributes:
        tubes: (n,) positions among the ground truth's tubes.
        classes: (n,) 0-based.
        boxes: (n, 4) x1 y1 x2 y2 in pixels of the frame, ending where the last pixel ends.
    """

    tubes: np.ndarray
    classes: np.ndarray
    boxes: torch.Tensor

    def scaled_to(self, size: tuple[int, int], frame: tuple[int, int]) -> Boxes:
        """The boxes in an image of ``size`` (height, width) made from the frame."""
        boxes = Boxes(self.boxes.clone())
        boxes.scale(size[1] / frame[1], size[0] / frame[0])
        return boxes


def truth_by_frame(truth: GroundTruth) -> dict[tuple[str, int], FrameTruth]:
    """(video, 1-based frame) -> what is there; frames without ground truth are left out."""
    tubes = truth.tubes
    owner, frames = tubes.box_tubes, tubes.box_frames
    rows = defaultdict(list)
    for row, (tube, frame) in enumerate(zip(owner.tolist(), frames.tolist())):
        rows[str(tubes.videos[tubes.video[tube]]), frame].append(row)
    boxes = torch.from_numpy(to_exclusive(tubes.boxes))
    return {
        key: FrameTruth(owner[found], tubes.classes[owner[found]], boxes[found])
        for key, found in rows.items()
    }


def covered(truth: Boxes, proposals: Instances) -> torch.Tensor:
    """(n,) bool: whether some proposal overlaps each box by IoU 0.5 or more."""
    return (pairwise_iou(truth, proposals.proposal_boxes) >= IOU).any(dim=1)


class ProposalRecall:
    """Recall over key frames. A row is ``(stage, stream, origin)``; ``rpn`` of both streams and
    ``own`` with ``cross`` also have a row for their union."""

    def __init__(self) -> None:
        self._tubes: list[np.ndarray] = []
        self._hits: dict[tuple[int, str, str], list[np.ndarray]] = defaultdict(list)

    def add(
        self, annotated: FrameTruth, sources: list[StageOutput], image: int, frame: tuple[int, int]
    ) -> None:
        """Count image number ``image`` of a batch; ``frame`` is its original (height, width)."""
        truth = annotated.scaled_to(sources[0].image_sizes[image], frame).to(
            sources[0].boxes[image].device
        )
        self._tubes.append(annotated.tubes)
        rpn = {s.stream: covered(truth, s.origins["rpn"][image]) for s in sources[:2]}
        self._count(0, rpn)
        for stage, source in enumerate(sources[2:], start=1):
            found = {f"{k}": covered(truth, p[image]) for k, p in source.origins.items()}
            self._count(stage, found, source.stream)

    def _count(self, stage: int, found: dict[str, torch.Tensor], stream: str = "rpn") -> None:
        union = torch.stack([*found.values()]).any(dim=0)
        for origin, hits in (found | {"union": union}).items():
            self._hits[stage, stream, origin].append(hits.cpu().numpy())

    def by_kind(self, kinds: np.ndarray | None) -> dict[str, dict[str, float]]:
        """``"<stage>/<stream>/<origin>"`` -> kind of actor (and ``"all"``) -> recall in percent."""
        if not self._tubes:
            return {}
        tubes = np.concatenate(self._tubes)
        masks = {"all": np.ones(len(tubes), bool)}
        if kinds is not None:
            masks |= {str(kind): kinds[tubes] == kind for kind in np.unique(kinds[tubes])}
        return {
            "/".join(map(str, row)): {
                kind: 100 * float(np.concatenate(hits)[mask].mean()) for kind, mask in masks.items()
            }
            for row, hits in self._hits.items()
        }
