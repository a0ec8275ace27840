"""The picture of a training example that goes to the event storage."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import Visualizer

from ..video import flow_to_color

MAX_PROPOSALS = 20
MAX_DETECTIONS = 10


def key_frames(example: dict) -> dict[str, np.ndarray]:
    """The key frame of a model input as uint8 RGB (H, W, 3): as seen, and its flow as colour."""
    middle = example["rgb"].shape[1] // 2
    flow = example["flow"][:, middle].permute(1, 2, 0).cpu().numpy()
    return {
        "rgb": np.ascontiguousarray(example["rgb"][:, middle].permute(1, 2, 0).cpu().numpy()),
        "flow": flow_to_color(flow),
    }


def draw_training_example(
    example: dict, proposals: dict[str, Instances], detections: Instances
) -> np.ndarray:
    """Ground truth, each stream's best proposals, and detections, side by side.

    Args:
        example: a model input with ``instances``.
        proposals: by stream, ``proposal_boxes`` best first.
        detections: ``pred_boxes``, ``scores``, ``pred_classes`` in the clip's pixels.

    Returns:
        uint8 RGB (2 H, 3 W, 3); the key frame above, its flow as colour below.
    """
    best = detections[detections.scores.argsort(descending=True)[:MAX_DETECTIONS]]
    labels = [f"{c} {s:.2f}" for c, s in zip(best.pred_classes.tolist(), best.scores.tolist())]
    rows = []
    for stream, image in key_frames(example).items():
        boxes = proposals[stream].proposal_boxes[:MAX_PROPOSALS]
        row = [
            _overlay(image, example["instances"].gt_boxes),
            _overlay(image, boxes),
            _overlay(image, best.pred_boxes, labels),
        ]
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def _overlay(
    image: np.ndarray, boxes: Boxes | torch.Tensor, labels: list[str] | None = None
) -> np.ndarray:
    drawn = Visualizer(image).overlay_instances(boxes=boxes.to("cpu"), labels=labels)
    return drawn.get_image()
