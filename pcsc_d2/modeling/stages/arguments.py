"""What a config says of the stages of cooperation."""

from __future__ import annotations

from dataclasses import replace

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads.box_head import build_box_head
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from torch import nn

from pcsc_d2.layers import STREAMS, MessagePassing
from pcsc_d2.modeling.actionness_head import build_actionness_head
from pcsc_d2.modeling.fusion import build_late_fusion
from pcsc_d2.modeling.proposal_cooperation import BoxSelection
from pcsc_d2.modeling.segments import build_segments
from pcsc_d2.modeling.stages.heads import DetectionHead, target_stream


def roi_heads_arguments(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
    """Arguments of ``CooperationROIHeads``, beside those of ``ROIHeads``.

    Args:
        input_shape: of the pyramid's levels, by name.
    """
    node = cfg.MODEL.COOPERATION
    exchange = not node.OWN_STREAM_CONTROL
    levels = cfg.MODEL.ROI_HEADS.IN_FEATURES
    channels = input_shape[levels[0]].channels
    size = cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION
    pooled = ShapeSpec(channels=channels, height=size, width=size)

    def head() -> DetectionHead:
        box_head = build_box_head(cfg, pooled)
        predictor = FastRCNNOutputLayers(cfg, box_head.output_shape)
        return DetectionHead(box_head, predictor, cfg.MODEL.ROI_BOX_HEAD.DROPOUT)

    def selection(nms_thresh: float) -> tuple[BoxSelection, BoxSelection]:
        train_nms = nms_thresh if node.NMS_IN_TRAINING else 1.0
        return (
            BoxSelection(node.SCORE_THRESH, nms_thresh, node.TOPK_TEST),
            BoxSelection(node.SCORE_THRESH_TRAIN, train_nms, node.TOPK_TRAIN),
        )

    messages = None
    if node.ROI_MESSAGES and exchange:
        messages = [
            MessagePassing(channels, node.MESSAGE_REDUCTION) for _ in range(node.NUM_STAGES)
        ]
    first = node.FIRST_STREAM
    stage0 = {stream: head() for stream in STREAMS}
    stages = range(1, node.NUM_STAGES + 1)
    return {
        "box_in_features": levels,
        "box_pooler": ROIPooler(
            output_size=size,
            scales=[1.0 / input_shape[level].stride for level in levels],
            sampling_ratio=cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO,
            pooler_type=cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE,
            canonical_box_size=cfg.MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE,
        ),
        "stage0_heads": stage0,
        "stage_heads": [
            stage0[target_stream(t, first)] if node.SHARED_HEADS else head() for t in stages
        ],
        "roi_messages": messages,
        "own_selection": selection(node.NMS_THRESH_OWN),
        "cross_selection": (
            selection(node.NMS_THRESH_CROSS) if node.PROPOSALS and exchange else None
        ),
        "output_mode": node.OUTPUT,
        "test_proposals": cfg.MODEL.RPN.POST_NMS_TOPK_TEST,
        "every_stage": cfg.TEST.EVAL_ALL_STAGES,
        "actionness_head": _build_actionness_head(cfg, pooled),
        "actionness_source": cfg.MODEL.ACTIONNESS.FEATURES,
        "segments": build_segments(cfg, channels) if cfg.MODEL.SEGMENTS.ON else None,
        "fusion": build_late_fusion(cfg),
        "first_stream": first,
        "refined_messages": node.REFINED_MESSAGES,
        "calibrated": node.CALIBRATED,
    }


def _build_actionness_head(cfg: CfgNode, pooled: ShapeSpec) -> nn.Module | None:
    if not cfg.MODEL.ACTIONNESS.ON:
        return None
    streams = 1 if cfg.MODEL.COOPERATION.NUM_STAGES else len(STREAMS)
    return build_actionness_head(cfg, replace(pooled, channels=streams * pooled.channels))
