"""A trained detector for one key frame, in the manner of Detectron2's DefaultPredictor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn

from pcsc_d2.data import ClipMapper
from pcsc_d2.flow.codec import encode_flow
from pcsc_d2.flow.methods import flow_method
from pcsc_d2.models.trained import load_trained
from pcsc_d2.video import DecodingRule, VideoSource, clip_indices, flow_indices, read_frames


class ClipPredictor:
    """Frames in, the detections of their key frame out:

        predictor = ClipPredictor(cfg)                # with MODEL.WEIGHTS and MODEL.DEVICE
        outputs = predictor(frames)                   # of the frame in the middle
        outputs = predictor.at("video.mp4", 17)       # of the 17th frame
        outputs["instances"].pred_boxes               # a Detectron2 Instances

    Flow is computed on the way. Each call begins anew: ``detect.ActionDetector`` goes through
    whole videos, decoding and looking at each frame once, and links tubes.

    Args:
        cfg: of the model.

    Attributes:
        cfg: a copy of it.
        model: in evaluation mode.
        metadata: of the config's first dataset, with the names of the classes where it knows them.

    Raises:
        ModelError: MODEL.WEIGHTS names no file, or one that does not fit.
        ValueError: the config's flow is not one that can be computed.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg.clone()
        names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
        self.metadata = MetadataCatalog.get(names[0] if names else "__unused")
        node = cfg.INPUT.FLOW
        self._flow = flow_method(node.METHOD, node.WEIGHTS, node.DEVICE)
        self._mapper = ClipMapper(cfg, is_train=False)
        self.model: nn.Module = load_trained(cfg)

    @torch.no_grad()
    def __call__(self, frames: Sequence[np.ndarray], key: int | None = None) -> dict:
        """Detect in one of some consecutive frames.

        The model sees the T of INPUT.CLIP_LENGTH around it, and the flow to the one behind them;
        where there are fewer, the video stands still beyond its ends.

        Args:
            frames: (H, W, 3) uint8, RGB.
            key: position of the key frame, 0-based; None takes frame ``len(frames) // 2``, as in a
                clip of T.

        Returns:
            As the model: ``instances`` with ``pred_boxes`` (x1 y1 x2 y2, pixels of the frames),
            ``scores`` and ``pred_classes``.

        Raises:
            ValueError: no frames, frames that differ in size or are no RGB images, or no such key
                frame.
        """
        _check(frames)
        key = len(frames) // 2 if key is None else key
        indices = clip_indices(key + 1, self.cfg.INPUT.CLIP_LENGTH, len(frames))
        height, width = frames[0].shape[:2]
        about = {"video_id": "", "file_name": "", "decoding": "coded", "frame_index": key + 1}
        example = self._mapper.example(
            about | {"height": height, "width": width},
            [frames[i] for i in indices],
            self._codes(frames, flow_indices(indices, len(frames))),
            seed=0,
        )
        return self.model([example])[0]

    def at(
        self, video: str | os.PathLike[str], frame: int, decoding: DecodingRule = "coded"
    ) -> dict:
        """Detect in a frame of a video.

        Args:
            video: a file or a folder of frames.
            frame: its number, 1-based.
            decoding: how frames are counted, see ``pcsc_d2.video.decoding``.

        Returns:
            As above.

        Raises:
            VideoError: the video cannot be read.
            ValueError: it has no such frame.
        """
        count = len(VideoSource(Path(video), decoding))
        indices = clip_indices(frame, self.cfg.INPUT.CLIP_LENGTH, count)
        # One frame more, for the flow of the last.
        window = range(indices.min(), min(indices.max() + 2, count))
        return self(list(read_frames(video, window, decoding)), frame - 1 - window.start)

    def _codes(self, frames: Sequence[np.ndarray], fields: np.ndarray) -> list[np.ndarray]:
        """Flow fields as training reads them, by number."""
        bound = self.cfg.INPUT.FLOW.BOUND or None
        if len(frames) == 1:
            still = encode_flow(np.zeros((*frames[0].shape[:2], 2), np.float32), bound)
            return [still] * len(fields)
        needed = sorted(set(chain.from_iterable((i, i + 1) for i in fields.tolist())))
        flow = self._flow(frames[i] for i in needed)
        found = {i: encode_flow(field, bound) for i, field in zip(needed, flow)}
        return [found[i] for i in fields.tolist()]


def _check(frames: Sequence[np.ndarray]) -> None:
    if not len(frames):
        raise ValueError("there are no frames to detect in")
    for number, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            what = f"{frame.dtype} {frame.shape}"
            raise ValueError(f"frame {number} is {what}, and not uint8 (H, W, 3), RGB")
        if frame.shape != frames[0].shape:
            raise ValueError(f"frame {number} is of another size than the first")
