"""Keys of Detectron2 that this model does not look at."""

from __future__ import annotations

import json
from collections.abc import Iterator

from detectron2.config import CfgNode, get_cfg

IGNORED = {
    "MODEL.PIXEL_MEAN": "MODEL.RGB.PIXEL_MEAN and MODEL.FLOW.PIXEL_MEAN count",
    "MODEL.PIXEL_STD": "MODEL.RGB.PIXEL_STD and MODEL.FLOW.PIXEL_STD count",
    "MODEL.BACKBONE.FREEZE_AT": "MODEL.I3D.FREEZE_AT counts",
    "MODEL.RESNETS": "the trunk is that of MODEL.I3D",
    "MODEL.MASK_ON": "there are no masks",
    "MODEL.KEYPOINT_ON": "there are no keypoints",
    "MODEL.LOAD_PROPOSALS": "each stream has an RPN",
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": "stages hand on boxes as MODEL.COOPERATION says",
    "MODEL.ROI_BOX_CASCADE_HEAD": "stages are those of MODEL.COOPERATION",
    "INPUT.FORMAT": "clips are RGB, as Kinetics weights expect",
    "INPUT.MASK_FORMAT": "there are no masks",
    "DATALOADER.SAMPLER_TRAIN": "clips are shuffled so that a run can go on exactly",
    "DATALOADER.REPEAT_THRESHOLD": "no clip is repeated",
    "DATALOADER.REPEAT_SQRT": "no clip is repeated",
    "TEST.AUG": "clips are looked at once",
    "TEST.KEYPOINT_OKS_SIGMAS": "there are no keypoints",
}
"""Key or node to what counts instead."""


def ignored_keys(cfg: CfgNode) -> list[str]:
    """A line for each of those that a config sets to what is not Detectron2's default."""
    usual = get_cfg()
    return [
        f"{key} is set and has no effect: {IGNORED[name]}"
        for name in IGNORED
        for key in _differing(name, _value(cfg, name), _value(usual, name))
    ]


def _value(cfg: CfgNode, name: str) -> object:
    for part in name.split("."):
        cfg = cfg.get(part)
    return cfg


def _differing(name: str, value: object, usual: object) -> Iterator[str]:
    if isinstance(value, CfgNode):
        for key, inner in value.items():
            yield from _differing(f"{name}.{key}", inner, usual.get(key))
    # As text, in which lists and tuples are alike: a saved config has lists.
    elif json.dumps(value) != json.dumps(usual):
        yield name
