"""From a Detectron2 model to a network that needs torch and torchvision alone."""

from __future__ import annotations

import sys
import warnings

import torch
from detectron2.export import TracingAdapter
from detectron2.export.torchscript_patch import patch_builtin_len
from detectron2.structures import ImageList
from torch import nn

from pcsc_d2.export.network import Detected, ExportedDetector, ExportedStream
from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.segments import to_vector
from pcsc_d2.layers.window_trunk import LEVELS, WindowTrunk, trunk_parts
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.stream import Stream

# A size whose sides differ, of several cells at every level.
TRACED_SIZE = (96, 128)


@torch.no_grad()
def to_network(model: TwoStreamRCNN, clip_length: int) -> torch.jit.ScriptModule:
    """The model in evaluation mode as a scripted ``ExportedDetector``.

    It runs on the device that the model is on: traced constants stay there.

    Args:
        model: of any number of stages, with an actionness head or without.
        clip_length: T.
    """
    height, width = TRACED_SIZE
    segments = model.roi_heads.segments
    with warnings.catch_warnings():
        # What tracing cannot record is named in its warnings; export compares the outcome instead.
        warnings.simplefilter("ignore")
        streams, maps = {}, []
        for name in STREAMS:
            stream = getattr(model, name)
            clip = torch.rand(1, len(stream.pixel_mean), clip_length, height, width) * 255
            streams[name] = _trace_stream(stream, clip, clip_length)
            maps.append(streams[name](clip))
        detector = ExportedDetector(
            **streams,
            heads=trace_heads(model, *maps, TRACED_SIZE),
            clip_length=clip_length,
            second_sees_rgb=model.flow.reads == "rgb",
            one_trunk=model.one_trunk,
            segments=None if segments is None else to_vector(segments),
        )
        # Inlined and with norms folded, the file is smaller and warms up in half the time.
        return torch.jit.freeze(torch.jit.script(detector.eval()), ["window", "segments"])


def _trace_stream(stream: Stream, clip: torch.Tensor, clip_length: int) -> ExportedStream:
    bottom_up = stream.backbone.bottom_up
    parts, x = [], stream.preprocess([{stream.reads: clip[0]}]).tensor
    for part in trunk_parts(bottom_up.trunk):
        parts.append(torch.jit.trace(part.eval(), x, check_trace=False))
        x = part(x)
    return ExportedStream(
        WindowTrunk(parts, clip_length, bottom_up.time_pool, bottom_up.trunk.context),
        stream.pixel_mean,
        stream.pixel_std,
        stream.backbone.size_divisibility,
        stream.bounded,
        stream.differences,
    )


def trace_heads(
    model: TwoStreamRCNN,
    rgb: list[torch.Tensor],
    flow: list[torch.Tensor],
    size: tuple[int, int],
) -> nn.Module:
    """Pyramids, RPNs and heads of one image, traced; other sizes fit as well.

    Args:
        rgb, flow: c2..c5 of either stream with time pooled.
        size: height and width of the clip that they are from.
    """
    adapter = TracingAdapter(model, (rgb, flow, torch.tensor(size)), _detect_one)
    return torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)


def _detect_one(
    model: TwoStreamRCNN, rgb: list[torch.Tensor], flow: list[torch.Tensor], size: torch.Tensor
) -> Detected:
    """Pyramids, proposals and heads of one image, from the trunks' maps."""
    images = dict.fromkeys(STREAMS, ImageList(rgb[0], [(size[0], size[1])]))
    maps = {"rgb": dict(zip(LEVELS, rgb)), "flow": dict(zip(LEVELS, flow))}
    # len() of boxes has to stay symbolic in our modules, as Detectron2 does in its own.
    ours = [name for name in sys.modules if name.startswith("pcsc_d2.modeling.")]
    with patch_builtin_len(ours):
        found = model.detect(images, model.pyramids(maps))[-1][0]
        model.add_kinetics([found], rgb[-1])
        found = found[found.pred_boxes.nonempty()]
    scores = found.scores
    actionness = found.actionness if found.has("actionness") else scores.new_zeros(0)
    kinetics = found.kinetics if found.has("kinetics") else scores.new_zeros(0)
    features = found.tube_features if found.has("tube_features") else scores.new_zeros(0)
    return found.pred_boxes.tensor, scores, found.pred_classes, actionness, kinetics, features
