"""What the values of a config can be, so that one that cannot be meant is said before work begins.

Detectron2 compares types alone, and takes None for anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from detectron2.config import CfgNode

# Larger numbers than any that counts or measures something here.
_LARGEST = 1 << 40
_TINY = 1e-9


class _Range(NamedTuple):
    """What numbers are, or those in a list; a list of so many at least."""

    least: float
    most: float
    length: int = 0


_SIDE = _Range(1, 1 << 15, 1)
_COUNT = _Range(1, 1 << 30)
_ANY_COUNT = _Range(0, 1 << 30)
_SHARE = _Range(0, 1)
_POSITIVE = _Range(_TINY, _LARGEST)
_NOT_NEGATIVE = _Range(0, _LARGEST)
_CHANNELS = _Range(1, 1 << 16)
_RANGES = {
    _CHANNELS: """MODEL.FPN.OUT_CHANNELS MODEL.ROI_BOX_HEAD.FC_DIM MODEL.ROI_BOX_HEAD.CONV_DIM
        MODEL.ACTIONNESS.FC_DIM MODEL.ROI_HEADS.NUM_CLASSES""",
    _Range(0, 100): """MODEL.ROI_BOX_HEAD.NUM_FC MODEL.ROI_BOX_HEAD.NUM_CONV
        MODEL.COOPERATION.NUM_STAGES MODEL.ACTIONNESS.NUM_FC SOLVER.SEGMENTS.STAGES""",
    _Range(1 / 64, 16): "MODEL.I3D.WIDTH",
    _Range(0, 5): "MODEL.I3D.FREEZE_AT",
    _Range(1, 1 << 12): "INPUT.CLIP_LENGTH MODEL.COOPERATION.MESSAGE_REDUCTION",
    _Range(1, 64): "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION",
    _Range(0, 64): "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO",
    _SIDE: """INPUT.MIN_SIZE_TRAIN INPUT.MAX_SIZE_TRAIN INPUT.MAX_SIZE_TEST
        MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE""",
    _Range(0, 1 << 15): "INPUT.MIN_SIZE_TEST",
    _COUNT: """MODEL.RPN.BATCH_SIZE_PER_IMAGE MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
        MODEL.RPN.PRE_NMS_TOPK_TRAIN MODEL.RPN.PRE_NMS_TOPK_TEST MODEL.RPN.POST_NMS_TOPK_TRAIN
        MODEL.RPN.POST_NMS_TOPK_TEST MODEL.COOPERATION.TOPK_TRAIN MODEL.COOPERATION.TOPK_TEST
        TEST.DETECTIONS_PER_IMAGE TEST.TUBES.MIN_LENGTH SOLVER.MAX_ITER SOLVER.CHECKPOINT_PERIOD
        SOLVER.ACTIONNESS.BATCH_SIZE SOLVER.ACTIONNESS.DISK_MB SOLVER.ACTIONNESS.MEMORY_MB
        SOLVER.SCORES.KEY_FRAMES""",
    _ANY_COUNT: """MODEL.I3D.PRECISE_BN MODEL.I3D.CONTEXT MODEL.COOPERATION.WARMUP_ITERS
        INPUT.FEATURES.KEY_FRAMES INPUT.FRAME_CACHE_MB DATALOADER.VIDEOS_AT_A_TIME TEST.KEY_FRAMES
        TEST.EVAL_PERIOD TEST.TUBES.GAP TEST.TUBES.ACTIONNESS_WINDOW SOLVER.KEEP
        SOLVER.WARMUP_ITERS SOLVER.STEPS SOLVER.STEP_EPOCHS SOLVER.EPOCHS SOLVER.NUM_DECAYS
        SOLVER.ACTIONNESS.EPOCHS SOLVER.ACTIONNESS.VIDEOS SOLVER.SEGMENTS.EPOCHS VIS_PERIOD""",
    _Range(0, 1 << 10): "DATALOADER.NUM_WORKERS",
    _Range(2, 1 << 10): "SOLVER.ACTIONNESS.FOLDS",
    _Range(1, 1 << 20, 1): "SOLVER.ACTIONNESS.WINDOWS",
    _Range(0, 1, 1): """SOLVER.ACTIONNESS.THRESHOLDS TEST.FRAME_IOUS MODEL.RPN.IOU_THRESHOLDS
        MODEL.ROI_HEADS.IOU_THRESHOLDS""",
    _SHARE: """MODEL.RPN.NMS_THRESH MODEL.RPN.POSITIVE_FRACTION MODEL.ROI_HEADS.POSITIVE_FRACTION
        MODEL.ROI_HEADS.SCORE_THRESH_TEST MODEL.ROI_HEADS.NMS_THRESH_TEST MODEL.FUSION.BOOST_IOU
        MODEL.COOPERATION.SCORE_THRESH MODEL.COOPERATION.NMS_THRESH_OWN
        MODEL.COOPERATION.NMS_THRESH_CROSS MODEL.ACTIONNESS.LABEL_IOU SOLVER.GAMMA
        SOLVER.WARMUP_FACTOR""",
    _Range(0, 0.999): "MODEL.FPN.DROPOUT MODEL.ROI_BOX_HEAD.DROPOUT",
    _POSITIVE: "SOLVER.CLIP_GRADIENTS.CLIP_VALUE SOLVER.CLIP_GRADIENTS.NORM_TYPE",
    _Range(_TINY, _LARGEST, 1): "MODEL.ANCHOR_GENERATOR.SIZES MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
    _Range(_TINY, _LARGEST, 2): "MODEL.RGB.PIXEL_STD MODEL.FLOW.PIXEL_STD",
    _Range(_TINY, _LARGEST, 4): "MODEL.RPN.BBOX_REG_WEIGHTS MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
    _NOT_NEGATIVE: """SOLVER.BASE_LR SOLVER.BASE_LR_END SOLVER.MOMENTUM SOLVER.WEIGHT_DECAY
        SOLVER.WEIGHT_DECAY_NORM SOLVER.BIAS_LR_FACTOR SOLVER.ACTIONNESS.BASE_LR
        SOLVER.ACTIONNESS.WEIGHT_DECAY SOLVER.ACTIONNESS.NEGATIVES SOLVER.SEGMENTS.BASE_LR
        SOLVER.SEGMENTS.WEIGHT_DECAY SOLVER.SCORES.RIDGE INPUT.FLOW.BOUND
        MODEL.RPN.SMOOTH_L1_BETA MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA TEST.TUBES.TEMPORAL_LABELLING
        MODEL.RPN.LOSS_WEIGHT MODEL.RPN.BBOX_REG_LOSS_WEIGHT
        MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT MODEL.PROPOSAL_GENERATOR.MIN_SIZE""",
}
_RANGE_OF = {key: bounds for bounds, keys in _RANGES.items() for key in keys.split()}
# Those that nobody registers new ones of, and that are looked at when training has begun.
_WORDS = {
    "SOLVER.LR_SCHEDULER_NAME": (
        "WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR",
    ),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("norm", "value", "full_model"),
    "INPUT.RANDOM_FLIP": ("horizontal", "none"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.CROP.TYPE": ("relative_range", "relative", "absolute", "absolute_range"),
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": ("smooth_l1", "giou", "diou", "ciou"),
    "TEST.TUBES.PROTOCOL": ("act", "voc", "voc_no_plus_one"),
}  # fmt: skip


def check_values(cfg: CfgNode, usual: CfgNode) -> None:
    """Look through all values of a config.

    Args:
        cfg: merged.
        usual: what it was before, whose values are of the right types.

    Raises:
        ValueError: the key, its value, and what can be.
    """
    for key, value, default in _leaves(cfg, usual, ""):
        _check_kind(key, value, default)
        numbers = [each for each in _flat(value) if isinstance(each, (int, float))]
        least, most, length = _RANGE_OF.get(key, _Range(-_LARGEST, _LARGEST))
        if not all(math.isfinite(x) and least <= x <= most for x in numbers):
            raise ValueError(f"{key} is {value!r}; it can be {_described(least, most)}")
        if len(numbers) < length:
            raise ValueError(f"{key} is {value!r}; it holds {length} numbers at least")
        if value not in _WORDS.get(key, (value,)):
            raise ValueError(f"{key} is {value!r}; it can be {', '.join(_WORDS[key])}")
    _check_relations(cfg)


def _leaves(cfg: CfgNode, usual: CfgNode, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for name, value in cfg.items():
        default = usual.get(name)
        if isinstance(value, dict):
            inner = default if isinstance(default, dict) else {}
            yield from _leaves(value, inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, default


def _check_kind(key: str, value: Any, default: Any) -> None:
    if value is None and default is not None:
        raise ValueError(f"{key} is None; it is a {type(default).__name__}")
    if not isinstance(default, (list, tuple)) or not default:
        return
    lists = [each for each in value if isinstance(each, (list, tuple))]
    if lists and not isinstance(default[0], (list, tuple)):
        raise ValueError(f"{key} is {value!r}; {lists[0]!r} in it is a list")
    kinds = {_kind(each) for each in _flat(default)}
    if len(kinds) == 1:
        wrong = [each for each in _flat(value) if _kind(each) not in kinds]
        if wrong:
            raise ValueError(f"{key} is {value!r}; {wrong[0]!r} is no {kinds.pop()}")


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "name"
    return "number" if type(value) in (int, float) else "value"


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _described(least: float, most: float) -> str:
    if least == -most:
        return "any number that counts or measures something"
    low = "above 0" if least == _TINY else f"{least:g} or more"
    return low if most == _LARGEST else f"{least:g} to {most:g}"


def _check_relations(cfg: CfgNode) -> None:
    """Values that contradict each other."""
    length, context = cfg.INPUT.CLIP_LENGTH, cfg.MODEL.I3D.CONTEXT
    if 2 * context >= length:
        raise ValueError(
            f"MODEL.I3D.CONTEXT {context} leaves no frame of INPUT.CLIP_LENGTH {length}"
        )
    for name in ("RPN", "ROI_HEADS"):
        limits, labels = cfg.MODEL[name].IOU_THRESHOLDS, cfg.MODEL[name].IOU_LABELS
        if len(labels) != len(limits) + 1 or list(limits) != sorted(limits):
            raise ValueError(
                f"MODEL.{name}.IOU_THRESHOLDS {limits} and IOU_LABELS {labels}: thresholds ascend, "
                "and there is one more label"
            )
    if list(cfg.SOLVER.STEPS) != sorted(cfg.SOLVER.STEPS):
        raise ValueError(f"SOLVER.STEPS {cfg.SOLVER.STEPS} do not ascend")
    sizes = cfg.MODEL.ANCHOR_GENERATOR.SIZES
    if not all(isinstance(each, (list, tuple)) and len(each) for each in sizes):
        raise ValueError(f"MODEL.ANCHOR_GENERATOR.SIZES {sizes}: a list of sizes for each level")
    sampling, short = cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING, cfg.INPUT.MIN_SIZE_TRAIN
    if sampling == "range" and len(short) != 2:
        raise ValueError(f"INPUT.MIN_SIZE_TRAIN {short}: range takes two")
