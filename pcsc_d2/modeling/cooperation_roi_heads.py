"""The stage loop: heads whose stages swap proposals and ROI features between the streams.

    stage 0   RPN^rgb -> head -> B_0^rgb          RPN^flow -> head -> B_0^flow
    stage t   P_t^i = B_{t-2}^i u B_{t-1}^j       i is rgb at odd t, flow at even t; j the other
              F_t   = ROI^i + message_t(ROI^j)    both pooled at P_t
              B_t^i = head_t(F_t)

Paper Sections 3.1 to 3.3. With no stages this is the two-stream baseline.
"""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY, ROIHeads
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from pcsc_d2.layers import STREAMS, MessagePassing
from pcsc_d2.modeling.actionness_head import BOTH, FEATURES, pool_rois
from pcsc_d2.modeling.fusion import LateFusion, LearnedFusion
from pcsc_d2.modeling.proposal_cooperation import BoxSelection, StageOutput, cooperate, select_boxes
from pcsc_d2.modeling.stages import (
    MODES,
    DetectionHead,
    Limits,
    Predictions,
    calibrated,
    combine,
    head_losses,
    head_output,
    label_proposals,
    log_proposals,
    mean_predictions,
    sample_rows,
    target_stream,
)
from pcsc_d2.modeling.stages.arguments import roi_heads_arguments
from pcsc_d2.parallel import unused_parameters_loss

logger = logging.getLogger(__name__)


@ROI_HEADS_REGISTRY.register()
class CooperationROIHeads(ROIHeads):
    """Stage 0 for each stream, then any number of stages of cross-stream cooperation.

    Args:
        box_in_features: pyramid levels to pool from.
        box_pooler: one pooler serves both streams and all stages.
        stage0_heads: a head for ``"rgb"`` and one for ``"flow"``.
        stage_heads: the heads of stages 1, 2, ...
        roi_messages: a message for each of those stages, or None for none.
        own_selection, cross_selection: which boxes of the own and of the other stream become
            proposals; ``cross_selection`` None leaves the other stream's out. Each a pair for
            (testing, training).
        output_mode: how the stages' detections are put together, see ``stages.outputs``.
        test_proposals: RPN proposals of an image that stage 0 looks at in testing, and in
            training when it chooses the boxes for stage 1.
        every_stage: inference returns the output of every stage and not of the last alone.
        actionness_head: gives the last stage's detections their actionness in inference; it is
            trained by itself, after the detector.
        actionness_source: one of ``actionness_head.FEATURES``, what that head looks at.
        segments: temporal cooperation, trained by itself, too. It looks at whole tubes, and the
            last stage's detections carry what it will look at: ``tube_features``.
        fusion: makes the detections in place of ``output_mode``. One of the same boxes is given
            what RGB's heads and flow's say of those that the last stage looks at; another, what
            the latest head of each says of its own.
        first_stream: the stream that stage 1 improves.
        refined_messages: a message is made of the assistant's ROI features with the messages of
            the stages before in them, not of its own alone.
        calibrated: the heads' logits are divided by a temperature of each, fitted after the
            detector, before stages are put together.
    """

    @configurable
    def __init__(
        self,
        *,
        box_in_features: list[str],
        box_pooler: ROIPooler,
        stage0_heads: dict[str, DetectionHead],
        stage_heads: list[DetectionHead],
        roi_messages: list[MessagePassing] | None,
        own_selection: tuple[BoxSelection, BoxSelection],
        cross_selection: tuple[BoxSelection, BoxSelection] | None,
        output_mode: str = "union",
        test_proposals: int = 100,
        every_stage: bool = False,
        actionness_head: nn.Module | None = None,
        actionness_source: str = "cooperation",
        segments: nn.Module | None = None,
        fusion: LateFusion | None = None,
        first_stream: str = "rgb",
        refined_messages: bool = False,
        calibrated: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if output_mode not in MODES:
            raise ValueError(f"MODEL.COOPERATION.OUTPUT is one of {MODES}, not {output_mode!r}")
        if actionness_source not in FEATURES:
            source = actionness_source
            raise ValueError(f"MODEL.ACTIONNESS.FEATURES is one of {FEATURES}, not {source!r}")
        if first_stream not in STREAMS:
            raise ValueError(
                f"MODEL.COOPERATION.FIRST_STREAM is one of {STREAMS}, not {first_stream!r}"
            )
        self.box_in_features = box_in_features
        self.box_pooler = box_pooler
        self.stage0_heads = nn.ModuleDict(stage0_heads)
        self.stage_heads = nn.ModuleList(stage_heads)
        self.roi_messages = None if roi_messages is None else nn.ModuleList(roi_messages)
        self.own_selection = own_selection
        self.cross_selection = cross_selection
        self.output_mode = output_mode
        self.test_proposals = test_proposals
        self.every_stage = every_stage
        self.actionness_head = actionness_head
        self.actionness_source = actionness_source
        self.segments = segments
        self.fusion = fusion
        self.first_stream = first_stream
        self.refined_messages = refined_messages
        self.temperatures: torch.Tensor | None
        heads = len(STREAMS) + len(stage_heads)
        self.register_buffer("temperatures", torch.ones(heads) if calibrated else None)
        for trained_afterwards in (actionness_head, segments):
            if trained_afterwards is not None:
                trained_afterwards.requires_grad_(False)
        # Lowered while stage 0 warms up; see TwoStreamRCNN.
        self.active_stages = len(stage_heads)
        # Those that the weights loaded last had no heads for.
        self.stages_without_weights: list[int] = []

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, object]:
        return super().from_config(cfg) | roi_heads_arguments(cfg, input_shape)

    def forward(
        self,
        images: ImageList,
        features: dict[str, dict[str, torch.Tensor]],
        proposals: dict[str, list[Instances]],
        targets: list[Instances] | None = None,
    ) -> tuple[list[list[Instances]], dict[str, torch.Tensor]]:
        """Run stage 0 and the active stages.

        Args:
            images: of either stream; unused, as both have the same sizes.
            features: pyramid levels ``(N, C, H_l, W_l)`` by stream.
            proposals: RPN proposals of each image by stream, best first.
            targets: ground truth of each image; in training only.

        Returns:
            In training no detections and the losses ``loss_cls_stage<t>_<stream>`` and
            ``loss_box_reg_stage<t>_<stream>``. In inference a list over stages (the last alone
            unless ``every_stage``) of the detections of each image, and no losses.
        """
        del images
        pyramid = self._side_by_side(features)
        losses = self._stage0_losses(pyramid, proposals, targets) if self.training else {}
        if self.training and self.active_stages == 0:
            return [], losses | self._unused_loss()
        sources, stage_losses = self._run_stages(pyramid, proposals, targets)
        losses.update(stage_losses)
        if self.training:
            return [], losses
        fused = self.fusion is not None
        stages = self._fused(pyramid, sources) if fused else self.detections(sources)
        if self.actionness_head is not None:
            found = [Instances(x.image_size, proposal_boxes=x.pred_boxes) for x in stages[-1]]
            self.actionness_head(self.actionness_features(features, found), stages[-1])
        if self.segments is not None:
            self._add_tube_features(features, stages[-1])
        return stages, losses

    @torch.no_grad()
    def head_outputs(
        self,
        features: dict[str, dict[str, torch.Tensor]],
        proposals: dict[str, list[Instances]],
    ) -> list[StageOutput]:
        """What each head says in testing, in the order in which they run: stage 0 of RGB and of
        flow, then stages 1, 2, ...; arguments as of ``forward``."""
        return self._run_stages(self._side_by_side(features), proposals, None)[0]

    @torch.no_grad()
    def fusion_outputs(
        self,
        features: dict[str, dict[str, torch.Tensor]],
        proposals: dict[str, list[Instances]],
    ) -> list[StageOutput]:
        """What the late fusion is shown in testing, RGB's answer and flow's; arguments as of
        ``forward``."""
        pyramid = self._side_by_side(features)
        return self._fusion_pair(pyramid, self._run_stages(pyramid, proposals, None)[0])

    def target(self, stage: int) -> str:
        """The stream that a stage improves."""
        return target_stream(stage, self.first_stream)

    def start_stages_from_stage0(self) -> None:
        """Copy each stream's stage-0 head to its later stages (the end of the warm-up)."""
        for stage, head in enumerate(self.stage_heads, start=1):
            head.load_state_dict(self.stage0_heads[self.target(stage)].state_dict())
        if isinstance(self.fusion, LearnedFusion):
            # It has learnt what stage 0 says, and is to learn what the last stage does.
            self.fusion.gain.zero_()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Later heads that the weights lack (a baseline's) start from the stream's stage-0 head."""
        absent = [
            stage
            for stage in range(1, len(self.stage_heads) + 1)
            if not any(key.startswith(f"{prefix}stage_heads.{stage - 1}.") for key in state_dict)
        ]
        for stage in absent:
            stage0 = f"{prefix}stage0_heads.{self.target(stage)}."
            own = f"{prefix}stage_heads.{stage - 1}."
            found = {k: v for k, v in state_dict.items() if k.startswith(stage0)}
            state_dict.update({own + k.removeprefix(stage0): v for k, v in found.items()})
        self.stages_without_weights = absent
        if absent:
            logger.info("stages without weights of their own start from stage 0's: %s", absent)
        if self.temperatures is not None and f"{prefix}temperatures" not in state_dict:
            logger.warning("the weights have no temperatures: no head is calibrated")
            state_dict[f"{prefix}temperatures"] = torch.ones_like(self.temperatures)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _side_by_side(self, features: dict[str, dict[str, torch.Tensor]]) -> list[torch.Tensor]:
        """The pyramid's levels ``(2 N, C, H_l, W_l)``: pooling is one call for both streams."""
        return [torch.cat([features[s][f] for s in STREAMS]) for f in self.box_in_features]

    def _run_stages(
        self,
        pyramid: list[torch.Tensor],
        proposals: dict[str, list[Instances]],
        targets: list[Instances] | None,
    ) -> tuple[list[StageOutput], dict[str, torch.Tensor]]:
        sources, losses = self._stage0_outputs(pyramid, proposals), {}
        latest = {output.stream: output for output in sources}
        for stage in range(1, self.active_stages + 1):
            output, stage_losses = self._run_stage(stage, pyramid, latest, targets)
            losses.update(stage_losses)
            latest[output.stream] = output
            sources.append(output)
        return sources, losses

    def actionness_features(
        self,
        features: dict[str, dict[str, torch.Tensor]],
        proposals: list[Instances],
        source: str | None = None,
    ) -> torch.Tensor:
        """What the actionness head sees at some boxes of each image, ``(R, C, size, size)``.

        ``cooperation``: the last stage's ROI features with the assistant's message in them
        (Section 3.4). ``stream``: its target stream's own. Without stages, those of both streams,
        one after the other in C, and so for ``BOTH``, which temporal cooperation looks at.

        Args:
            features: as in ``forward``.
            proposals: ``proposal_boxes`` of each image, in the pixels of the clip.
            source: one of ``actionness_head.FEATURES``, or ``BOTH``; the configured one if None.
        """
        pyramid = self._side_by_side(features)
        last = len(self.stage_heads)
        source = source or self.actionness_source
        if last and source == "cooperation":
            return self._refined_rois(last, pyramid, proposals)
        boxes = [p.proposal_boxes for p in proposals]
        rois = self._pool(pyramid, dict.fromkeys(STREAMS, boxes))
        if last and source != BOTH:
            return rois[self.target(last)]
        return torch.cat([*rois.values()], dim=1)

    def _add_tube_features(
        self, features: dict[str, dict[str, torch.Tensor]], found: list[Instances]
    ) -> None:
        """Give detections the means (n, 2 C) float16 of both streams' ROI features."""
        boxes = [Instances(x.image_size, proposal_boxes=x.pred_boxes) for x in found]
        rois = pool_rois(self.actionness_features(features, boxes, BOTH)).flatten(1).half()
        for instances, values in zip(found, rois.split([len(x) for x in found])):
            instances.tube_features = values

    def _pool(
        self, pyramid: list[torch.Tensor], boxes: dict[str, list[Boxes]]
    ) -> dict[str, torch.Tensor]:
        """ROI features by stream, ``(R, C, size, size)``, in one call of the pooler."""
        pooled = self.box_pooler(pyramid, [b for s in STREAMS for b in boxes[s]])
        counts = [sum(len(b) for b in boxes[s]) for s in STREAMS]
        return dict(zip(STREAMS, pooled.split(counts)))

    def _stage0_losses(
        self,
        pyramid: list[torch.Tensor],
        proposals: dict[str, list[Instances]],
        targets: list[Instances],
    ) -> dict[str, torch.Tensor]:
        storage, sampled, losses = get_event_storage(), {}, {}
        for s in STREAMS:
            with storage.name_scope(f"{s}_stage0"):
                sampled[s] = self.label_and_sample_proposals(proposals[s], targets)
        rois = self._pool(pyramid, {s: [p.proposal_boxes for p in sampled[s]] for s in STREAMS})
        for s in STREAMS:
            head = self.stage0_heads[s]
            losses.update(head_losses(head, head(rois[s]), sampled[s], 0, s))
        if not self.active_stages:
            both = [Instances.cat(pair) for pair in zip(*sampled.values())]
            losses.update(self._fusion_losses(pyramid, both, 0))
        return losses

    def _fusion_losses(
        self, pyramid: list[torch.Tensor], proposals: list[Instances], stage: int
    ) -> dict[str, torch.Tensor]:
        """``loss_fusion`` of sampled boxes, where a fusion learns with the detector."""
        if not isinstance(self.fusion, LearnedFusion):
            return {}
        logits = [said[0] for said in self._mean_by_stream(pyramid, proposals, stage).values()]
        return self.fusion.losses(*logits, torch.cat([p.gt_classes for p in proposals]))

    @torch.no_grad()
    def _stage0_outputs(
        self, pyramid: list[torch.Tensor], proposals: dict[str, list[Instances]]
    ) -> list[StageOutput]:
        """B_0 of both streams, from the proposals that testing would look at."""
        number = self.test_proposals
        if self.training:
            number = max(number, self.own_selection[True].topk)
        best = {s: [p[:number] for p in proposals[s]] for s in STREAMS}
        if self.fusion is not None and self.fusion.same_boxes and not self.active_stages:
            best = dict.fromkeys(STREAMS, cooperate(best))
        rois = self._pool(pyramid, {s: [p.proposal_boxes for p in best[s]] for s in STREAMS})
        heads = {s: self.stage0_heads[s] for s in STREAMS}
        return [
            head_output(head, head(rois[s]), best[s], s, {"rpn": best[s]})
            for s, head in heads.items()
        ]

    def _run_stage(
        self,
        stage: int,
        pyramid: list[torch.Tensor],
        latest: dict[str, StageOutput],
        targets: list[Instances] | None,
    ) -> tuple[StageOutput, dict[str, torch.Tensor]]:
        target, assistant = self.target(stage), self.target(stage + 1)
        origins = self._select(latest[target], latest[assistant])
        proposals = cooperate(origins)
        if self.training:
            log_proposals(f"{target}_stage{stage}", origins, targets)
            proposals = add_ground_truth_to_proposals(targets, proposals)
            proposals = label_proposals(proposals, targets, self.proposal_matcher, self.num_classes)
        head = self.stage_heads[stage - 1]
        predictions = head(self._refined_rois(stage, pyramid, proposals))
        output = head_output(head, predictions, proposals, target, origins)
        if not self.training:
            return output, {}
        return output, self._stage_losses(pyramid, predictions, proposals, stage)

    def _stage_losses(
        self,
        pyramid: list[torch.Tensor],
        predictions: Predictions,
        proposals: list[Instances],
        stage: int,
    ) -> dict[str, torch.Tensor]:
        """The losses of a sample of the boxes that a head was shown."""
        rows = sample_rows(
            proposals, self.batch_size_per_image, self.positive_fraction, self.num_classes
        )
        sampled = [p[kept] for p, kept in zip(proposals, rows)]
        # Predictions of all images are one behind the other.
        parts = [p.split([len(x) for x in proposals]) for p in predictions]
        predictions = tuple(torch.cat([x[kept] for x, kept in zip(part, rows)]) for part in parts)
        head, target = self.stage_heads[stage - 1], self.target(stage)
        losses = head_losses(head, predictions, sampled, stage, target)
        if stage == self.active_stages:
            losses.update(self._fusion_losses(pyramid, sampled, stage))
        return losses

    def _select(self, own: StageOutput, cross: StageOutput) -> dict[str, list[Instances]]:
        origins = {"own": select_boxes(own, self.own_selection[self.training])}
        if self.cross_selection is not None:
            origins["cross"] = select_boxes(cross, self.cross_selection[self.training])
        return origins

    def _refined_rois(
        self, stage: int, pyramid: list[torch.Tensor], proposals: list[Instances]
    ) -> torch.Tensor:
        """F_t: the target's ROI features, with the assistant's message where there is one."""
        target = self.target(stage)
        boxes = [p.proposal_boxes for p in proposals]
        if self.roi_messages is None:
            none = [b[:0] for b in boxes]
            return self._pool(pyramid, {s: boxes if s == target else none for s in STREAMS})[target]
        return self._refined(stage, self._pool(pyramid, dict.fromkeys(STREAMS, boxes)))

    def _refined(self, stage: int, rois: dict[str, torch.Tensor]) -> torch.Tensor:
        """F_t of both streams' ROI features at the same boxes."""
        target = self.target(stage)
        if self.roi_messages is None:
            return rois[target]
        refined = dict(rois)
        for t in range(1 if self.refined_messages else stage, stage + 1):
            own, other = self.target(t), self.target(t + 1)
            refined[own] = self.roi_messages[t - 1](rois[own], refined[other])
        return refined[target]

    def detections(
        self, sources: list[StageOutput], mode: str | None = None, every_stage: bool | None = None
    ) -> list[list[Instances]]:
        """Outputs of the stages from what their heads say: a list over stages (the last alone
        unless ``every_stage``) of the detections of each image.

        ``mode`` and ``every_stage`` are the config's where they are None.
        """
        if self.temperatures is not None:
            sources = [calibrated(x, self.temperatures[i]) for i, x in enumerate(sources)]
        return [
            combine(shown, mode or self.output_mode, *self._limits)
            for shown in self._shown(sources, every_stage)
        ]

    def _shown(
        self, sources: list[StageOutput], every_stage: bool | None = None
    ) -> list[list[StageOutput]]:
        """What the output of each stage draws on, of the last one alone unless ``every_stage``."""
        every_stage = self.every_stage if every_stage is None else every_stage
        first = len(STREAMS) if every_stage else len(sources)
        return [sources[:n] for n in range(first, len(sources) + 1)]

    def _fused(
        self, pyramid: list[torch.Tensor], sources: list[StageOutput]
    ) -> list[list[Instances]]:
        """What the late fusion makes of the stages, as ``detections`` gives it."""
        return [
            self.fusion(*self._fusion_pair(pyramid, shown), self._limits)
            for shown in self._shown(sources)
        ]

    def _fusion_pair(
        self, pyramid: list[torch.Tensor], sources: list[StageOutput]
    ) -> list[StageOutput]:
        """What RGB's heads and flow's say of the boxes that the last stage was shown, or the
        latest of each of its own boxes."""
        latest = {x.stream: x for x in sources}
        # Without stages, stage 0 has shown both heads the same boxes.
        if not self.fusion.same_boxes or not self.active_stages:
            return [latest[stream] for stream in STREAMS]
        stage = len(sources) - len(STREAMS)
        rpn = {x.stream: x.origins["rpn"] for x in sources[: len(STREAMS)]}
        origins = sources[-1].origins if stage else {"rpn": cooperate(rpn)}
        proposals = cooperate(origins)
        said = self._mean_by_stream(pyramid, proposals, stage)
        head = self.stage0_heads["rgb"]
        return [head_output(head, said[s], proposals, s, origins) for s in STREAMS]

    @torch.no_grad()
    def _mean_by_stream(
        self, pyramid: list[torch.Tensor], proposals: list[Instances], stage: int
    ) -> dict[str, Predictions]:
        """What the heads of each stream, up to a stage, say of R boxes, without dropout: the
        baseline's head as it is, with stages ``mean_predictions``."""
        boxes = [p.proposal_boxes for p in proposals]
        rois = self._pool(pyramid, dict.fromkeys(STREAMS, boxes))
        said = {s: [self.stage0_heads[s].without_dropout(rois[s])] for s in STREAMS}
        if not self.stage_heads:
            return {s: alone for s, (alone,) in said.items()}
        for t in range(1, stage + 1):
            head = self.stage_heads[t - 1]
            said[self.target(t)].append(head.without_dropout(self._refined(t, rois)))
        return {s: mean_predictions(each) for s, each in said.items()}

    @property
    def _limits(self) -> Limits:
        predictor = self.stage0_heads["rgb"].predictor
        return Limits(
            predictor.test_score_thresh, predictor.test_nms_thresh, predictor.test_topk_per_image
        )

    def _unused_loss(self) -> dict[str, torch.Tensor]:
        unused = [*self.stage_heads.parameters()]
        if self.roi_messages is not None:
            unused += [*self.roi_messages.parameters()]
        return {"loss_idle_stages": unused_parameters_loss(unused)} if unused else {}
