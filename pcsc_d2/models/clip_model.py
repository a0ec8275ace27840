"""What ``detect`` asks of a model, whichever file it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pcsc_d2.models.info import ModelInfo
from pcsc_d2.tubes.boxes import to_inclusive

# uint8 (3, T, h, w) RGB and float32 (2, T, h, w) flow in pixels, both at the network's size.
ClipTensors = tuple[Tensor, Tensor]


class ClipDetections(NamedTuple):
    """The detections of one key frame, in any order.

    Attributes:
        boxes: (n, 4) float32 x1 y1 x2 y2, pixels of the original frame, 0-based, corners
            inclusive, as in ``pcsc_d2.tubes``.
        scores: (n,) float32.
        classes: (n,) int64, into ``ModelInfo.labels``.
        actionness: (n,) float32 in [0, 1], of the detection's own class, or None.
        kinetics: (n, 400) float32, logits of the Kinetics classes (``model_zoo.kinetics``), or
            None.
        features: (n, D) float16, for the model's ``judge``, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    actionness: np.ndarray | None = None
    kinetics: np.ndarray | None = None
    features: np.ndarray | None = None


class ClipModel(Protocol):
    """A detector of key frames.

    A model that shares work between neighbouring key frames has ``detect_window`` besides; see
    the function of that name, which serves the others. One that looks at whole tubes to say where
    actions begin and end has ``judge`` (``tubes.linking.streaming.Judge``).
    """

    info: ModelInfo

    def __call__(self, clips: Sequence[ClipTensors], size: tuple[int, int]) -> list[ClipDetections]:
        """The detections of each clip's key frame, frame T // 2 of the clip (0-based).

        Args:
            clips: of one video.
            size: height and width of the original frames.
        """
        ...


def detect_window(
    model: ClipModel, rgb: Tensor, flow: Tensor, key_frames: Sequence[int], size: tuple[int, int]
) -> list[ClipDetections]:
    """The detections of several key frames of a window of consecutive frames.

    Args:
        model: asked once for the window if it has a ``detect_window`` of its own (with the same
            arguments but this one), else for each clip.
        rgb: (3, W, h, w) uint8.
        flow: (2, W, h, w) float32, in pixels.
        key_frames: 0-based in the window, which holds the whole clip around each.
        size: height and width of the original frames.
    """
    own = getattr(model, "detect_window", None)
    if own is not None:
        return own(rgb, flow, key_frames, size)
    length = model.info.clip_length
    spans = [slice(k - length // 2, k - length // 2 + length) for k in key_frames]
    return model([(rgb[:, span], flow[:, span]) for span in spans], size)


def boxes_in_frame(boxes: Tensor, clip_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Turn exclusive boxes of a resized clip into inclusive ones (n, 4) of the original frame.

    Args:
        boxes: (n, 4) in pixels of the clip.
        clip_size: height and width of the clip.
        size: height and width of the original frame.
    """
    scale = (size[1] / clip_size[1], size[0] / clip_size[0]) * 2
    corners = boxes.to("cpu", torch.float32).numpy() * np.asarray(scale, np.float32)
    corners = corners.clip(0, np.array([size[1], size[0]] * 2, np.float32))
    return to_inclusive(corners)
