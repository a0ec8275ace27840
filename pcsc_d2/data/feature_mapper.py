"""Dataset dict of a key frame -> model input with cached maps in place of clips."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T

from pcsc_d2.data.clip_mapper import KEPT_KEYS, boxes_to_train_on
from pcsc_d2.data.feature_store import FeatureStore

logger = logging.getLogger(__name__)


class FeatureMapper:
    """Reads the maps of a key frame; in training, half of the clips are mirrored.

    Args:
        stores: of each stream.
        size: lengths of the clips' shorter and longer side at most.
        flip: whether clips are mirrored at random.
        is_train: whether ``instances`` are made.
    """

    def __init__(
        self,
        stores: Mapping[str, FeatureStore],
        size: tuple[int, int],
        flip: bool,
        is_train: bool,
    ) -> None:
        self._stores = stores
        self._size = size
        self._flip = flip
        self._is_train = is_train
        self._absent: set[str] = set()

    def __call__(self, dataset_dict: dict, seed: int | None = None) -> dict | None:
        """See ``TwoStreamRCNN.extract_maps`` for the model input.

        Args:
            dataset_dict: of a key frame.
            seed: of what is drawn.

        Returns:
            None for a key frame without maps, since its clip could not be read, after one warning
            that names the file.
        """
        mirrored = self._flip and bool(np.random.default_rng(seed).random() < 0.5)
        features = {s: store.read(dataset_dict, mirrored) for s, store in self._stores.items()}
        if None in features.values():
            if dataset_dict["file_name"] not in self._absent:
                self._absent.add(dataset_dict["file_name"])
                logger.warning(
                    "%s: no cached maps; its clips are left out", dataset_dict["file_name"]
                )
            return None
        transforms = self._transforms(dataset_dict, mirrored)
        size = (transforms[0].new_h, transforms[0].new_w)
        example = {k: dataset_dict[k] for k in KEPT_KEYS}
        example |= {"features": features, "image_size": size}
        if self._is_train:
            annotations = dataset_dict["annotations"]
            example["instances"] = boxes_to_train_on(annotations, transforms, size)
        return example

    def _transforms(self, clip: dict, mirrored: bool) -> T.TransformList:
        """What the clip went through before the trunks saw it."""
        height, width = clip["height"], clip["width"]
        new = T.ResizeShortestEdge.get_output_shape(height, width, *self._size)
        flip = [T.HFlipTransform(new[1])] if mirrored else []
        return T.TransformList([T.ResizeTransform(height, width, *new), *flip])


def feature_size(cfg: CfgNode, is_train: bool) -> tuple[int, int]:
    """Lengths of the shorter and the longer side (at most) of clips whose maps are cached.

    Raises:
        ValueError: the config augments clips by more than mirroring, which maps cannot follow.
    """
    if not is_train:
        return cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    several = len(set(cfg.INPUT.MIN_SIZE_TRAIN)) != 1
    if several or cfg.INPUT.CROP.ENABLED or cfg.INPUT.RANDOM_FLIP not in ("none", "horizontal"):
        raise ValueError(
            "MODEL.I3D.FEATURES cached goes with one INPUT.MIN_SIZE_TRAIN, INPUT.CROP.ENABLED "
            "False and INPUT.RANDOM_FLIP horizontal or none"
        )
    return cfg.INPUT.MIN_SIZE_TRAIN[0], cfg.INPUT.MAX_SIZE_TRAIN
