"""The picture of a training example that goes to the event storage."""

from __future__ import annotations

import numpy as np
from detectron2.structures import Boxes, Instances

from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.tubes.boxes import scale_boxes, to_inclusive
from pcsc_d2.video.drawing import color_of, draw_boxes
from pcsc_d2.video.enlarging import enlarge, legible_factor

MAX_PROPOSALS = 20
MAX_DETECTIONS = 5
TRUTH, PROPOSAL = (0, 255, 0), (255, 160, 0)


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
        uint8 RGB (2 k H, 3 k W, 3), enlarged by k; the key frame above, its flow below.
    """
    best = detections[detections.scores.argsort(descending=True)[:MAX_DETECTIONS]]
    captions = [f"{c} {s:.2f}" for c, s in zip(best.pred_classes.tolist(), best.scores.tolist())]
    colors = [color_of(c) for c in best.pred_classes.tolist()]
    truth = example["instances"]
    rows = []
    for stream, image in key_frames(example).items():
        factor = legible_factor(*image.shape[:2])
        image = enlarge(image, factor)
        found = proposals[stream].proposal_boxes[:MAX_PROPOSALS]
        row = [
            draw_boxes(image, _scaled(truth.gt_boxes, factor), colors=[TRUTH] * len(truth)),
            draw_boxes(image, _scaled(found, factor), colors=[PROPOSAL] * len(found)),
            draw_boxes(image, _scaled(best.pred_boxes, factor), captions, colors),
        ]
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def _scaled(boxes: Boxes, factor: int) -> np.ndarray:
    return scale_boxes(to_inclusive(boxes.tensor.detach().cpu().numpy()), factor)
