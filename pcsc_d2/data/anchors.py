"""How well the anchors of a config fit the boxes of a dataset, and how such at its quantiles do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import assign_boxes_to_levels
from detectron2.structures import Boxes, pairwise_iou

from pcsc_d2.config import changed
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.boxes import to_exclusive
from pcsc_d2.utils.progress import progress_bar

# Inputs are padded to a multiple of the coarsest stride of the trunks.
_PADDING = 32


class FrameBoxes(NamedTuple):
    """Ground truth of a frame at the size at which the network sees it.

    Attributes:
        size: height and width in pixels, before padding.
        boxes: (n, 4) x1 y1 x2 y2, ending where the last pixel ends.
    """

    size: tuple[int, int]
    boxes: torch.Tensor


class AnchorFit(NamedTuple):
    """How anchors fit boxes.

    Attributes:
        sizes: of each level's anchors, the root of their area in pixels.
        ratios: height by width, of each level or in one list for all.
        recall: share of the boxes with an anchor of IoU 0.5 and 0.7 at least.
        positives: anchors of a frame that the RPN takes for positive, by its thresholds.
        best: mean IoU of a box with its best anchor.
    """

    sizes: list[list[float]]
    ratios: list[list[float]]
    recall: tuple[float, float]
    positives: float
    best: float


def boxes_of(cfg: CfgNode, names: Sequence[str], number: int) -> list[FrameBoxes]:
    """Annotated frames of registered datasets, at the config's size; the videos are not needed.

    Args:
        cfg: its INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST count.
        names: of the datasets.
        number: of frames at most, drawn at random and the same in every run.

    Raises:
        ValueError: no boxes there.
    """
    found = [frame for name in names for frame in _annotated_frames(name)]
    if not found:
        raise ValueError(f"no boxes in {', '.join(names)}")
    drawn = np.random.default_rng(0).permutation(len(found))[:number]
    return [_resized(cfg, *found[i]) for i in np.sort(drawn)]


def measure(cfg: CfgNode, frames: Sequence[FrameBoxes]) -> AnchorFit:
    """How the config's anchors fit some frames, by MODEL.ANCHOR_GENERATOR and MODEL.RPN.

    Raises:
        ValueError: its lists are not one for all levels or one for each, of one length.
    """
    _check_lists(cfg)
    node, rpn = cfg.MODEL.ANCHOR_GENERATOR, cfg.MODEL.RPN
    matcher = Matcher(rpn.IOU_THRESHOLDS, rpn.IOU_LABELS, allow_low_quality_matches=True)
    anchors = {size: _anchors(cfg, size) for size in {frame.size for frame in frames}}
    best, positives = [], 0
    with progress_bar(len(frames), "anchors", "frame", show=True) as bar:
        for frame in frames:
            iou = pairwise_iou(Boxes(frame.boxes), anchors[frame.size])
            best.append(iou.max(dim=1).values)
            positives += int((matcher(iou)[1] == 1).sum())
            bar.update(1)
    best = torch.cat(best)
    recall = tuple(float((best >= least).float().mean()) for least in (0.5, 0.7))
    sizes, ratios = [*map(list, node.SIZES)], [*map(list, node.ASPECT_RATIOS)]
    return AnchorFit(sizes, ratios, recall, positives / len(frames), float(best.mean()))


def _check_lists(cfg: CfgNode) -> None:
    levels = len(cfg.MODEL.RPN.IN_FEATURES)
    for key in ("SIZES", "ASPECT_RATIOS"):
        lengths = [len(each) for each in cfg.MODEL.ANCHOR_GENERATOR[key]]
        if len(lengths) not in (1, levels) or len(set(lengths)) != 1:
            raise ValueError(
                f"MODEL.ANCHOR_GENERATOR.{key} has lists of {lengths}: one list, or one for each "
                f"of {levels} levels, all as long"
            )


def pooled_levels(cfg: CfgNode, frames: Sequence[FrameBoxes]) -> dict[str, float]:
    """Share of the boxes that each of MODEL.ROI_HEADS.IN_FEATURES is pooled for, by
    MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE."""
    names = cfg.MODEL.ROI_HEADS.IN_FEATURES
    levels = sorted(int(name[1:]) for name in names)
    size = cfg.MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE
    boxes = [Boxes(frame.boxes) for frame in frames]
    # That size is pooled from level 4, as ROIPooler has it.
    assigned = assign_boxes_to_levels(boxes, levels[0], levels[-1], size, 4)
    counts = torch.bincount(assigned, minlength=len(levels))
    return {f"p{k}": float(n) / len(assigned) for k, n in zip(levels, counts)}


def suggest(cfg: CfgNode, frames: Sequence[FrameBoxes]) -> CfgNode:
    """The config with as many sizes, and at most as many ratios, at quantiles of the boxes' own.

    Quantiles leave out the smallest and the largest boxes: a suggestion, to be measured.
    """
    node, levels = cfg.MODEL.ANCHOR_GENERATOR, len(cfg.MODEL.RPN.IN_FEATURES)
    boxes = torch.cat([frame.boxes for frame in frames]).numpy()
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    each = len(node.SIZES[0])
    sizes = _apart(_middles(np.sqrt(sides.prod(axis=1)), levels * each))
    ratios = _middles(sides[:, 1] / sides[:, 0], len(node.ASPECT_RATIOS[0]))
    # Two alike would be one anchor twice, and a flat box has a ratio of 0.
    ratios = sorted({max(round(ratio, 1), 0.1) for ratio in ratios})
    return changed(
        cfg,
        {
            "MODEL.ANCHOR_GENERATOR.SIZES": [
                sizes[k * each : (k + 1) * each] for k in range(levels)
            ],
            "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [ratios],
        },
    )


def _apart(sizes: list[float]) -> list[int]:
    """Whole sizes in rising order, a pixel apart at least."""
    apart: list[int] = []
    for size in sizes:
        apart.append(max(round(size), apart[-1] + 1 if apart else 1))
    return apart


def _middles(values: np.ndarray, parts: int) -> list[float]:
    """The middle value of each of so many parts with equally many values."""
    return np.quantile(values, (np.arange(parts) + 0.5) / parts).tolist()


def _annotated_frames(name: str) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """Boxes (n, 4) of each annotated frame, and its height and width."""
    clips = MetadataCatalog.get(name).get("clips")
    if clips is not None:
        return _frames_of(clips.annotated())
    dicts = [d for d in DatasetCatalog.get(name) if d["annotations"]]
    return [
        (np.array([a["bbox"] for a in d["annotations"]]), (d["height"], d["width"])) for d in dicts
    ]


def _frames_of(truth: GroundTruth) -> list[tuple[np.ndarray, tuple[int, int]]]:
    tubes = truth.tubes
    video, frame = tubes.video[tubes.box_tubes], tubes.box_frames
    order = np.lexsort([frame, video])
    key = np.stack([video, frame])[:, order]
    cuts = np.flatnonzero((np.diff(key) != 0).any(axis=0)) + 1
    boxes = np.split(to_exclusive(tubes.boxes.astype(float))[order], cuts)
    videos = key[0][np.concatenate([[0], cuts])] if len(order) else []
    sizes = truth.resolution.tolist()
    return [(b, tuple(sizes[v])) for b, v in zip(boxes, videos)]


def _resized(cfg: CfgNode, boxes: np.ndarray, frame: tuple[int, int]) -> FrameBoxes:
    node = cfg.INPUT
    size = ResizeShortestEdge.get_output_shape(*frame, node.MIN_SIZE_TEST, node.MAX_SIZE_TEST)
    scale = np.array([size[1] / frame[1], size[0] / frame[0]] * 2)
    return FrameBoxes(size, torch.from_numpy(boxes * scale).float())


def _anchors(cfg: CfgNode, size: tuple[int, int]) -> Boxes:
    """All anchors of an input of some size, as the RPN sees them."""
    strides = [2 ** int(level[1:]) for level in cfg.MODEL.RPN.IN_FEATURES]
    padded = [-(-side // _PADDING) * _PADDING for side in size]
    # The generator asks for the maps' shapes alone.
    maps = [torch.empty(1, 0, *(-(-side // s) for side in padded)) for s in strides]
    generator = build_anchor_generator(cfg, [ShapeSpec(stride=s) for s in strides])
    return Boxes.cat(generator(maps))
