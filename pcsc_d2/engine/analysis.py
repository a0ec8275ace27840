"""What a model is made of: parameters, FLOPs and activations by part, in the manner of Detectron2's
``tools/analyze_model.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.export import TracingAdapter
from detectron2.utils.analysis import FlopCountAnalysis
from fvcore.nn import ActivationCountAnalysis, parameter_count
from tabulate import tabulate

from pcsc_d2 import data, modeling  # noqa: F401  (registers what configs name)
from pcsc_d2.config import changed
from pcsc_d2.model_zoo import get_config
from pcsc_d2.modeling import TwoStreamRCNN, build_detector, require_detector
from pcsc_d2.utils.files import write_json
from pcsc_d2.utils.progress import without_warnings

PARTS = {
    "RGB trunk": "rgb.backbone.bottom_up",
    "flow trunk": "flow.backbone.bottom_up",
    "messages between images": "image_messages",
    "RGB pyramid": "rgb.backbone.top_down",
    "flow pyramid": "flow.backbone.top_down",
    "RGB RPN": "rgb.proposal_generator",
    "flow RPN": "flow.proposal_generator",
    "heads of stage 0": "roi_heads.stage0_heads",
    "messages between ROIs": "roi_heads.roi_messages",
    "heads of later stages": "roi_heads.stage_heads",
    "actionness": "roi_heads.actionness_head",
    "segments": "roi_heads.segments",
}
"""Name of a part to that of its module."""
TOTAL = "total"
# Of UCF101 and J-HMDB.
FRAME_SIZE = (240, 320)


@dataclass(frozen=True)
class PartCost:
    """What a part costs for one key frame.

    Attributes:
        parameters: all of them, trained or not.
        flops: multiply-adds of convolutions, matrix products and norms, as fvcore counts them.
        activations: elements of what convolutions and matrix products give.
    """

    parameters: int
    flops: int
    activations: int


def analyze(args: argparse.Namespace) -> None:
    """``pcsc analyze``: print what the model of a config is made of.

    Args:
        args: of that command.

    Raises:
        ValueError: a config of another kind of model.
    """
    cfg = most_boxes(get_config(args.config_file, args.opts))
    with without_warnings():
        model = build_detector(cfg).eval()
    try:
        require_detector(cfg, model)
    except ValueError as error:
        raise ValueError(f"{args.config_file}: {error}") from None
    if args.structure:
        print(model)
    costs = costs_by_part(model, example(cfg, args.size))
    print(_report(args.config_file, cfg, args.size, costs))
    if args.json:
        write_json(args.json, {name: asdict(cost) for name, cost in costs.items()})


def most_boxes(cfg: CfgNode) -> CfgNode:
    """A config on the CPU, without weights, whose model looks at as many boxes as it ever does:
    no score and no overlap leaves one out."""
    wanted = {
        "MODEL.DEVICE": "cpu",
        **dict.fromkeys(("MODEL.WEIGHTS", "MODEL.RGB.WEIGHTS", "MODEL.FLOW.WEIGHTS"), ""),
        "MODEL.RPN.NMS_THRESH": 1.0,
        "MODEL.COOPERATION.SCORE_THRESH": 0.0,
        "MODEL.COOPERATION.NMS_THRESH_OWN": 1.0,
        "MODEL.COOPERATION.NMS_THRESH_CROSS": 1.0,
        "TEST.EVAL_ALL_STAGES": False,
    }
    return changed(cfg, wanted)


def example(cfg: CfgNode, size: Sequence[int] = FRAME_SIZE) -> dict:
    """A model input of noise, resized as evaluation would a frame of (height, width)."""
    sides = _seen(cfg, size)
    generator = torch.Generator().manual_seed(0)
    shape = (cfg.INPUT.CLIP_LENGTH, *sides)
    return {
        "rgb": torch.randint(0, 256, (3, *shape), generator=generator, dtype=torch.uint8),
        "flow": torch.randn(2, *shape, generator=generator),
    }


@torch.no_grad()
def costs_by_part(model: TwoStreamRCNN, inputs: dict) -> dict[str, PartCost]:
    """The cost of each part that the model has, and of all of it as ``total``.

    Args:
        model: in evaluation mode.
        inputs: a model input.
    """
    parameters = parameter_count(model)
    flops = FlopCountAnalysis(model, [inputs])
    wrapper = TracingAdapter(model, [inputs], allow_non_tensor=True)
    activations = ActivationCountAnalysis(wrapper, wrapper.flattened_inputs)
    for analysis in (flops, activations):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
    by_flops, by_activations = flops.by_module(), activations.by_module()
    # The tracing adapter holds the model under this name.
    found = {
        name: PartCost(
            parameters[module], by_flops[f"model.{module}"], by_activations[f"model.{module}"]
        )
        for name, module in PARTS.items()
        if parameters.get(module)
    }
    return found | {TOTAL: PartCost(parameters[""], by_flops[""], by_activations[""])}


def _seen(cfg: CfgNode, size: Sequence[int]) -> tuple[int, int]:
    limits = (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    return ResizeShortestEdge.get_output_shape(*size, *limits)


def _report(name: str, cfg: CfgNode, size: Sequence[int], costs: dict[str, PartCost]) -> str:
    rows = [
        (part, x.parameters / 1e6, x.flops / 1e9, x.activations / 1e6) for part, x in costs.items()
    ]
    headings = ("", "parameters (M)", "FLOPs (G)", "activations (M)")
    seen = "x".join(map(str, _seen(cfg, size)))
    node = cfg.MODEL.COOPERATION
    cross = node.PROPOSALS and not node.OWN_STREAM_CONTROL
    boxes = f"{cfg.MODEL.RPN.POST_NMS_TOPK_TEST} boxes of each RPN"
    if node.NUM_STAGES:
        boxes += f", {node.TOPK_TEST * (1 + cross)} in each later stage"
    lines = [
        f"{name}: one key frame, a clip of {cfg.INPUT.CLIP_LENGTH} frames of "
        f"{'x'.join(map(str, size))} seen at {seen}; at most {boxes}",
        tabulate(rows, headings, floatfmt=".2f"),
        "A FLOP is a multiply-add, as fvcore counts; pooling of ROIs and NMS are not counted.",
    ]
    return "\n".join(lines)
