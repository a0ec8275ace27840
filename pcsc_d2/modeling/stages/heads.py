"""A head of a stream and stage: which stream, what it is made of, its losses, what it says."""

from __future__ import annotations

from dataclasses import replace

import torch
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from pcsc_d2.layers import STREAMS
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.parallel import boxes_share

Predictions = tuple[torch.Tensor, torch.Tensor]


def target_stream(stage: int, first: str = "rgb") -> str:
    """The stream that stage 1, 2, ... improves: the first one at odd stages, RGB in the paper."""
    return STREAMS[(STREAMS.index(first) + stage - 1) % 2]


class DetectionHead(nn.Module):
    """Detectron2's box head and its output layers, as one head of a stream and stage.

    Args:
        box_head: ROI features ``(R, C, size, size)`` -> ``(R, D)``.
        predictor: of these.
        dropout: share of the box head's outputs that training leaves out.
    """

    def __init__(
        self,
        box_head: nn.Module,
        predictor: FastRCNNOutputLayers,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.box_head = box_head
        self.dropout = nn.Dropout(dropout)
        self.predictor = predictor

    def forward(self, roi_features: torch.Tensor) -> Predictions:
        return self.predictor(self.dropout(self.box_head(roi_features)))

    def without_dropout(self, roi_features: torch.Tensor) -> Predictions:
        """The same without dropout, in training, too."""
        return self.predictor(self.box_head(roi_features))


def mean_predictions(said: list[Predictions]) -> Predictions:
    """The mean of several heads' answers about the same R boxes: logarithms (R, K + 1) of the mean
    of their probabilities, in the place of logits, and mean shifts (R, 4) or (R, 4 K)."""
    logits, deltas = zip(*said)
    probs = torch.stack([x.float().softmax(dim=1) for x in logits]).mean(dim=0)
    return probs.clamp(min=1e-12).log(), torch.stack(deltas).mean(dim=0)


def head_losses(
    head: DetectionHead,
    predictions: Predictions,
    proposals: list[Instances],
    stage: int,
    stream: str,
) -> dict[str, torch.Tensor]:
    """``loss_cls_stage<t>_<stream>`` and ``loss_box_reg_stage<t>_<stream>`` of sampled boxes."""
    with get_event_storage().name_scope(f"{stream}_stage{stage}"):
        losses = head.predictor.losses(predictions, proposals)
    # They are means over boxes, of which ranks have different numbers.
    share = boxes_share(sum(map(len, proposals)), predictions[0].device)
    return {f"{name}_stage{stage}_{stream}": loss * share for name, loss in losses.items()}


def head_output(
    head: DetectionHead,
    predictions: Predictions,
    proposals: list[Instances],
    stream: str,
    origins: dict[str, list[Instances]],
) -> StageOutput:
    """The head's boxes and probabilities for the proposals that ``origins`` count, which come
    first in each image: ground truth that was added for training stays behind."""
    predictions = tuple(p.detach().float() for p in predictions)
    boxes = head.predictor.predict_boxes(predictions, proposals)
    probs = head.predictor.predict_probs(predictions, proposals)
    counts = [sum(map(len, parts)) for parts in zip(*origins.values())]
    return StageOutput(
        stream,
        [b[:n] for b, n in zip(boxes, counts)],
        [p[:n] for p, n in zip(probs, counts)],
        [p.image_size for p in proposals],
        origins,
        [x[:n] for x, n in zip(predictions[0].split([len(p) for p in proposals]), counts)],
    )


def calibrated(output: StageOutput, temperature: torch.Tensor) -> StageOutput:
    """The output with probabilities of logits that are divided by a temperature ()."""
    return replace(output, probs=[(x / temperature).softmax(dim=1) for x in output.logits])
