"""Pictures of actors that a stream had lost and the other stream's proposal brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Boxes, Instances, pairwise_iou

from pcsc_d2.experiments.proposal_recall import IOU, FrameTruth, covered
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.visualization import key_frames
from pcsc_d2.tubes.boxes import scale_boxes, to_inclusive
from pcsc_d2.video.drawing import color_of, draw_boxes, image_grid, write_image
from pcsc_d2.video.enlarging import enlarge, legible_factor

SHOWN = 8
SURE = 0.5
WHITE, OWN, CROSS = (255, 255, 255), (255, 160, 0), (0, 220, 255)


@dataclass(frozen=True)
class RecoveredActor:
    """One lost and found actor: the score its stage gave it, and what is drawn of it."""

    score: float
    title: str
    images: dict[str, np.ndarray]
    truth: np.ndarray
    proposals: dict[str, np.ndarray]
    detections: Instances


class RecoveredActors:
    """Of each video and stream the clearest case; the best of all are drawn.

    A case is a ground-truth box that no proposal of the stage's own stream covers, one of the
    other stream's does, and the stage's head takes for an action with at least ``SURE``.
    """

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], RecoveredActor] = {}

    def add(
        self,
        example: dict,
        annotated: FrameTruth,
        sources: list[StageOutput],
        detections: Instances,
        image: int,
    ) -> None:
        """Look for a case in image number ``image`` of a batch."""
        size = sources[0].image_sizes[image]
        truth = annotated.scaled_to(size, (example["height"], example["width"]))
        for stage, source in enumerate(sources[2:], start=1):
            if "cross" not in source.origins:
                return
            score, which = _recovered(truth, source, image)
            key = (example["video_id"], source.stream)
            if score > (self._best[key].score if key in self._best else SURE):
                where = f"{key[0]} frame {example['frame_index']}, stage {stage} ({source.stream})"
                self._best[key] = RecoveredActor(
                    score,
                    where,
                    key_frames(example),
                    _pixels(truth[which : which + 1]),
                    {k: _pixels(p[image].proposal_boxes) for k, p in source.origins.items()},
                    detections.to("cpu"),
                )

    def draw(self, folder: Path, labels: Sequence[str]) -> list[Path]:
        """Write a picture for each of the best cases of either stream; none where there are none.

        From left to right: the frame and the flow with the stage's own proposals (orange) and the
        other stream's (blue), then the final detections; the actor is in white.
        """
        paths = []
        for stream in ("rgb", "flow"):
            cases = [case for (_, s), case in self._best.items() if s == stream]
            cases = sorted(cases, key=lambda case: -case.score)[: SHOWN // 2]
            for number, case in enumerate(cases):
                paths.append(folder / f"{stream}_{number}.png")
                folder.mkdir(parents=True, exist_ok=True)
                write_image(paths[-1], _picture(case, labels))
        return paths


def _recovered(truth: Boxes, source: StageOutput, image: int) -> tuple[float, int]:
    """How surely the best recovered box is foreground, and its position; 0 where there is none."""
    truth = truth.to(source.boxes[image].device)
    lost = ~covered(truth, source.origins["own"][image])
    lost &= covered(truth, source.origins["cross"][image])
    boxes, probs = source.boxes[image], source.probs[image]
    if not lost.any() or boxes.shape[1] != 4:
        return 0.0, -1
    fits = (pairwise_iou(truth, Boxes(boxes)) >= IOU) & lost[:, None]
    scores = torch.where(fits, 1 - probs[:, -1], 0.0).amax(dim=1)
    return float(scores.max()), int(scores.argmax())


def _pixels(boxes: Boxes) -> np.ndarray:
    """Corners inclusive, as drawing wants them."""
    return to_inclusive(boxes.tensor.cpu().numpy())


def _picture(case: RecoveredActor, labels: Sequence[str]) -> np.ndarray:
    factor = legible_factor(*case.images["rgb"].shape[:2])
    cells = []
    for image in case.images.values():
        image = enlarge(image, factor)
        for origin, color in (("own", OWN), ("cross", CROSS)):
            boxes = scale_boxes(case.proposals[origin], factor)
            image = draw_boxes(image, boxes, colors=[color] * len(boxes))
        cells.append(draw_boxes(image, scale_boxes(case.truth, factor), [case.title], [WHITE]))
    best = case.detections[case.detections.scores >= 0.3]
    classes = best.pred_classes.tolist()
    captions = [f"{labels[c]} {s:.2f}" for c, s in zip(classes, best.scores.tolist())]
    image = enlarge(case.images["rgb"], factor)
    boxes = scale_boxes(_pixels(best.pred_boxes), factor)
    cells.append(draw_boxes(image, boxes, captions, [color_of(c) for c in classes]))
    return image_grid(cells, columns=3)
