"""The two-stream detector (paper Fig. 1), a Detectron2 meta architecture.

rgb clip  -> trunk -> c2..c5 (+ messages from flow) -> FPN -> RPN --+
                                                                    +-> ROI heads -> Instances
flow clip -> trunk -> c2..c5 -----------------------> FPN -> RPN ---+
"""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_roi_heads, detector_postprocess
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from pcsc_d2.config import has_one_trunk
from pcsc_d2.layers import STREAMS, MessagePassing
from pcsc_d2.modeling.stream import Stream
from pcsc_d2.modeling.visualization import draw_training_example
from pcsc_d2.parallel import unused_parameters_loss

logger = logging.getLogger(__name__)

Pyramids = dict[str, dict[str, torch.Tensor]]


@META_ARCH_REGISTRY.register()
class TwoStreamRCNN(nn.Module):
    """Two trunks, two pyramids, two RPNs, and one set of ROI heads over both streams.

    Args:
        rgb, flow: the streams.
        roi_heads: takes the pyramids and proposals of both streams as dicts by stream name.
        image_messages: one message per level c2..c5 from flow to RGB, or None.
        vis_period: iterations between pictures sent to the event storage; 0 for none.
        warmup_iters: iterations that train stage 0 alone, after which each later head starts from
            its stream's stage 0; 0 for none. They are counted by the event storage, as any
            trainer of Detectron2's does.
    """

    @configurable
    def __init__(
        self,
        *,
        rgb: Stream,
        flow: Stream,
        roi_heads: nn.Module,
        image_messages: nn.ModuleDict | None = None,
        vis_period: int = 0,
        warmup_iters: int = 0,
    ) -> None:
        super().__init__()
        self.rgb = rgb
        self.flow = flow
        self.image_messages = image_messages
        self.roi_heads = roi_heads
        self.vis_period = vis_period
        self.warmup_iters = warmup_iters
        # Lowered while stage 0 warms up.
        self.active_messages = True
        # A KineticsClassifier, where whoever detects wants its guesses: see models/kinetics.py.
        self.kinetics: nn.Module | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        one_trunk = has_one_trunk(cfg)
        rgb, flow = Stream(cfg, "rgb"), Stream(cfg, "flow")
        if one_trunk:
            flow.backbone.bottom_up = rgb.backbone.bottom_up
        node = cfg.MODEL.COOPERATION
        messages = None
        if node.IMAGE_MESSAGES and not node.OWN_STREAM_CONTROL:
            shapes = rgb.backbone.bottom_up.output_shape()
            messages = nn.ModuleDict(
                {k: MessagePassing(s.channels, node.MESSAGE_REDUCTION) for k, s in shapes.items()}
            )
        return {
            "rgb": rgb,
            "flow": flow,
            "roi_heads": build_roi_heads(cfg, rgb.backbone.output_shape()),
            "image_messages": messages,
            "vis_period": cfg.VIS_PERIOD,
            "warmup_iters": node.WARMUP_ITERS,
        }

    @property
    def one_trunk(self) -> bool:
        """Whether both streams share a trunk and what it makes of a clip."""
        return self.flow.backbone.bottom_up is self.rgb.backbone.bottom_up

    @property
    def trunk_streams(self) -> tuple[str, ...]:
        """The streams that have a trunk of their own."""
        return STREAMS[:1] if self.one_trunk else STREAMS

    @property
    def device(self) -> torch.device:
        return self.rgb.device

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Weights of two trunks leave a shared one RGB's."""
        if self.one_trunk:
            rgb, flow = (f"{prefix}{s}.backbone.bottom_up." for s in STREAMS)
            trunk = {k: v for k, v in state_dict.items() if k.startswith(rgb)}
            both = {flow + k.removeprefix(rgb): v for k, v in trunk.items()}
            if not all(torch.equal(state_dict.get(k, v), v) for k, v in both.items()):
                logger.warning("the weights have two trunks: both streams take RGB's")
            state_dict.update(both)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor] | list[dict]:
        """Losses in training, else one dict per input with the detections of its key frame.

        Args:
            batched_inputs: per key frame ``rgb`` uint8 (3, T, H, W), ``flow`` float32
                (2, T, H, W) in pixels, ``height`` and ``width`` of the original frame, and in
                training ``instances`` with ``gt_boxes`` (x1 y1 x2 y2, absolute pixels of the
                clip) and ``gt_classes``. Cached maps may take the place of clips, see
                ``extract_maps``.

        Returns:
            In inference ``{"instances": Instances(pred_boxes, scores, pred_classes)}`` at the
            original size, and where the heads give each stage's output, ``"stages"``: a list of
            Instances, stage 0 first.
        """
        if not self.training:
            return self.inference(batched_inputs)
        if self.warmup_iters > 0:
            self._warm_up(get_event_storage().iter)
        targets = [x["instances"].to(self.device) for x in batched_inputs]
        images, pyramids = self.extract_features(batched_inputs)
        proposals, losses = self.propose(images, pyramids, targets)
        _, head_losses = self.roi_heads(images["rgb"], pyramids, proposals, targets)
        losses.update(head_losses)
        if self.image_messages is not None and not self.active_messages:
            losses["loss_idle_messages"] = unused_parameters_loss(self.image_messages.parameters())
        period = self.vis_period if "features" not in batched_inputs[0] else 0
        if period > 0 and get_event_storage().iter % period == 0:
            self._put_picture(batched_inputs[0], {s: p[0] for s, p in proposals.items()})
        return losses

    def extract_features(self, batched_inputs: list[dict]) -> tuple[dict[str, ImageList], Pyramids]:
        """Batched clips and feature pyramids ``{"p2".."p6"}`` of both streams.

        Takes what ``extract_maps`` takes.
        """
        images, maps = self.extract_maps(batched_inputs)
        return images, self.pyramids(maps)

    def extract_maps(self, batched_inputs: list[dict]) -> tuple[dict[str, ImageList], Pyramids]:
        """Batched clips and the trunks' maps ``{"c2".."c5"}`` of both streams.

        Inputs may hold maps ``{"c2".."c5"}`` of both streams as ``features``, and the clip's size
        as ``image_size``, in place of clips. The images then have sizes alone.
        """
        if "features" in batched_inputs[0]:
            maps = {s: self._batch([x["features"][s] for x in batched_inputs]) for s in STREAMS}
            nothing = torch.empty(len(batched_inputs), 0, device=self.device)
            images = ImageList(nothing, [tuple(x["image_size"]) for x in batched_inputs])
            return dict.fromkeys(STREAMS, images), maps
        images = {s: self._stream(s).preprocess(batched_inputs) for s in STREAMS}
        rgb = self.rgb.backbone.bottom_up(images["rgb"].tensor)
        if self.one_trunk:
            return images, dict.fromkeys(STREAMS, rgb)
        return images, {"rgb": rgb, "flow": self.flow.backbone.bottom_up(images["flow"].tensor)}

    def _batch(self, maps: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Maps of several key frames as one batch; smaller ones are filled up with zeros."""
        return {
            level: ImageList.from_tensors([m[level].to(self.device) for m in maps]).tensor.float()
            for level in maps[0]
        }

    def pyramids(self, features: Pyramids) -> Pyramids:
        """The streams' ``{"c2".."c5"}`` -> messages -> feature pyramids ``{"p2".."p6"}``."""
        if self.image_messages is not None and self.active_messages:
            refined = {
                level: message(features["rgb"][level], features["flow"][level])
                for level, message in self.image_messages.items()
            }
            features = features | {"rgb": refined}
        return {s: self._stream(s).backbone.top_down(features[s]) for s in STREAMS}

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict]) -> list[dict]:
        """See ``forward``."""
        images, maps = self.extract_maps(batched_inputs)
        stages = self.detect(images, self.pyramids(maps))
        self.add_kinetics(stages[-1], maps["rgb"]["c5"])
        outputs = []
        for i, (x, size) in enumerate(zip(batched_inputs, images["rgb"].image_sizes)):
            height, width = x.get("height", size[0]), x.get("width", size[1])
            final = [detector_postprocess(stage[i], height, width) for stage in stages]
            outputs.append({"instances": final[-1]})
            if len(final) > 1:
                outputs[-1]["stages"] = final
        return outputs

    def detect(self, images: dict[str, ImageList], pyramids: Pyramids) -> list[list[Instances]]:
        """Detections of each image, at its own size, by stage where the heads give each."""
        proposals, _ = self.propose(images, pyramids, None)
        stages, _ = self.roi_heads(images["rgb"], pyramids, proposals)
        return stages

    def add_kinetics(self, found: list[Instances], c5: torch.Tensor) -> None:
        """Give detections their ``kinetics``, (n, 400) logits, where that classifier is there.

        Args:
            found: of each image, boxes in pixels of the clip.
            c5: (N, C, H, W) of the RGB trunk, time pooled.
        """
        if self.kinetics is not None:
            for i, instances in enumerate(found):
                instances.kinetics = self.kinetics(c5[i], instances.pred_boxes.tensor)

    def _stream(self, name: str) -> Stream:
        return self.rgb if name == "rgb" else self.flow

    def propose(
        self,
        images: dict[str, ImageList],
        pyramids: Pyramids,
        targets: list[Instances] | None,
    ) -> tuple[dict[str, list[Instances]], dict[str, torch.Tensor]]:
        """Each stream's region proposals, best first, and in training the losses of the RPNs."""
        proposals, losses = {}, {}
        for s in STREAMS:
            proposals[s], stream_losses = self._stream(s).propose(images[s], pyramids[s], targets)
            losses.update(stream_losses)
        return proposals, losses

    def _warm_up(self, iteration: int) -> None:
        """Choose which stages train in an iteration.

        Messages between images rest during the warm-up too: with them, a stream learns to rely on
        the other one before it has learned its own cue.
        """
        stages = len(self.roi_heads.stage_heads) if iteration >= self.warmup_iters else 0
        self.roi_heads.active_stages = stages
        self.active_messages = iteration >= self.warmup_iters
        if iteration == self.warmup_iters and stages:
            self.roi_heads.start_stages_from_stage0()
            logger.info("warm-up over: %d stages start from stage 0's heads", stages)

    def _put_picture(self, example: dict, proposals: dict[str, Instances]) -> None:
        modes = {module: module.training for module in self.modules()}
        self.eval()
        unscaled = {k: v for k, v in example.items() if k not in ("height", "width")}
        detections = self.inference([unscaled])[0]["instances"]
        for module, mode in modes.items():
            module.training = mode
        picture = draw_training_example(example, proposals, detections)
        get_event_storage().put_image(
            "rgb: ground truth, proposals, detections; flow: the same", picture.transpose(2, 0, 1)
        )
