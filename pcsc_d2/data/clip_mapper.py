"""Dataset dict of a key frame -> model input: a clip of both streams, the key frame's boxes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Instances

from pcsc_d2.config import require_iterations
from pcsc_d2.data.drawing import draw_all
from pcsc_d2.data.flow_cache import flow_store
from pcsc_d2.data.to_tensor import flow_to_tensor, rgb_to_tensor
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.video import FrameCache, VideoError, clip_indices, flow_indices

logger = logging.getLogger(__name__)

KEPT_KEYS = ("video_id", "frame_index", "height", "width", "file_name", "decoding")


class ClipMapper:
    """Read and augment a clip; transforms are drawn once and kept in step over both streams.

    Args:
        is_train: whether ``instances`` are made and augmentations may be random.
        augmentations: Detectron2 augmentations, applied to every frame, to the flow and to boxes.
        clip_length: T.
        flow: where flow comes from.
        frame_cache_bytes: decoded frames kept by each loading process.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation],
        clip_length: int,
        flow: FlowStore,
        frame_cache_bytes: int = 512 << 20,
    ) -> None:
        self._is_train = is_train
        # Transforms among them become augmentations.
        self._augmentations = T.AugmentationList(augmentations).augs
        self._clip_length = clip_length
        self._flow = flow
        self._frames = FrameCache(frame_cache_bytes)
        self._unreadable: set[str] = set()

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, object]:
        if is_train:
            require_iterations(cfg)
        augmentations = utils.build_augmentation(cfg, is_train)
        if cfg.INPUT.CROP.ENABLED and is_train:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "clip_length": cfg.INPUT.CLIP_LENGTH,
            "flow": flow_store(cfg),
            "frame_cache_bytes": cfg.INPUT.FRAME_CACHE_MB << 20,
        }

    def __call__(self, dataset_dict: dict, seed: int | None = None) -> dict | None:
        """See ``TwoStreamRCNN.forward`` for the model input.

        Args:
            dataset_dict: of a key frame.
            seed: of what augmentations draw; None takes one from NumPy's global generator.

        Returns:
            None for a clip that cannot be read, after one warning that names the file: training
            goes on with another clip, testing without it.
        """
        try:
            frames, codes = self._read(dataset_dict)
        except (VideoError, FlowError) as error:
            if dataset_dict["file_name"] not in self._unreadable:
                self._unreadable.add(dataset_dict["file_name"])
                logger.warning("clips of this video are left out: %s", error)
            return None
        return self.example(dataset_dict, frames, codes, seed)

    def example(
        self,
        dataset_dict: dict,
        frames: Sequence[np.ndarray],
        codes: Sequence[np.ndarray],
        seed: int | None = None,
    ) -> dict:
        """The model input of a clip that has been read.

        Args:
            dataset_dict: of the key frame, without which no ``KEPT_KEYS`` and no boxes are known.
            frames: T of (H, W, 3) uint8 RGB.
            codes: T flow fields (H, W, 2), as the store of this mapper has them.
            seed: as above.
        """
        if seed is None:
            seed = np.random.randint(2**32, dtype=np.uint64)
        generator = np.random.default_rng(seed)
        transforms = draw_all(self._augmentations, frames[len(frames) // 2], generator)
        return self._transform(dataset_dict, frames, codes, transforms)

    def _read(self, clip: dict) -> tuple[list[np.ndarray], list[np.ndarray]]:
        indices = clip_indices(clip["frame_index"], self._clip_length, clip["num_frames"])
        path, rule = clip["file_name"], clip["decoding"]
        frames = self._frames.read(path, indices, rule)
        fields = flow_indices(indices, clip["num_frames"])
        return frames, self._flow.read_codes(path, clip["flow_key"], fields, rule)

    def _transform(
        self,
        clip: dict,
        frames: Sequence[np.ndarray],
        codes: Sequence[np.ndarray],
        transforms: T.TransformList,
    ) -> dict:
        rgb = transforms.apply_rgb_clip(rgb_to_tensor(frames))
        flow = transforms.apply_flow_clip(flow_to_tensor(codes, self._flow.bound))
        example = {k: clip[k] for k in KEPT_KEYS}
        example["rgb"] = torch.as_tensor(np.ascontiguousarray(rgb))
        example["flow"] = torch.as_tensor(np.ascontiguousarray(flow))
        if self._is_train:
            example["instances"] = boxes_to_train_on(clip["annotations"], transforms, rgb.shape[2:])
        return example


def boxes_to_train_on(
    annotations: list[dict], transforms: T.TransformList, size: tuple[int, int]
) -> Instances:
    """The annotated boxes of a key frame after its transforms, without those that are empty.

    Args:
        annotations: of a dataset dict; left as they are.
        size: height and width after the transforms.
    """
    boxes = [utils.transform_instance_annotations(dict(a), transforms, size) for a in annotations]
    return utils.filter_empty_instances(utils.annotations_to_instances(boxes, size))
