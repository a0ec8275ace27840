"""A model small enough for tests, and inputs for it."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.structures import Boxes, Instances

from pcsc_d2 import add_pcsc_config

CONFIGS = Path(__file__).parents[1] / "configs"


def tiny_config(options: list | None = None) -> CfgNode:
    """The base config with everything made small; ``options`` are KEY, VALUE pairs."""
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "Base-PCSC-I3D-FPN.yaml"))
    small = {
        "MODEL.DEVICE": "cpu",
        "MODEL.I3D.WIDTH": 0.0625,
        "MODEL.I3D.NORM": "GN",
        "MODEL.FPN.OUT_CHANNELS": 16,
        "MODEL.ANCHOR_GENERATOR.SIZES": [[8], [16], [32], [64], [128]],
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 50,
        "MODEL.RPN.PRE_NMS_TOPK_TEST": 50,
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": 40,
        "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
        "MODEL.ROI_HEADS.NUM_CLASSES": 4,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
        "MODEL.COOPERATION.SCORE_THRESH": 0.0,
        "VIS_PERIOD": 0,
        "SOLVER.EPOCHS": 0.0,
        "INPUT.CLIP_LENGTH": 8,
        "INPUT.MIN_SIZE_TRAIN": (64,),
        "INPUT.MIN_SIZE_TEST": 64,
        "DATALOADER.NUM_WORKERS": 0,
    }
    cfg.merge_from_list([x for pair in small.items() for x in pair])
    cfg.merge_from_list(options or [])
    return cfg


def tiny_input(seed: int = 0, size: tuple[int, int] = (64, 96), boxes: int = 1) -> dict:
    """A model input of random pixels with some boxes of ground truth."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    corners = torch.rand(boxes, 2, generator=generator) * torch.tensor([width, height]) / 2
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.cat([corners, corners + 24], dim=1))
    instances.gt_classes = torch.randint(0, 4, (boxes,), generator=generator)
    return {
        "rgb": torch.randint(0, 256, (3, 8, *size), generator=generator, dtype=torch.uint8),
        "flow": torch.randn(2, 8, *size, generator=generator) * 3,
        "height": height,
        "width": width,
        "video_id": "video",
        "frame_index": 1,
        "instances": instances,
    }
