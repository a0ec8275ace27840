"""From a Detectron2 model to an ONNX file of standard operators."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.export.tracing import TRACED_SIZE, trace_heads
from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import cut_context
from pcsc_d2.layers.normalisation import normalise
from pcsc_d2.layers.window_trunk import LEVELS, trunk_parts
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.stream import Stream
from pcsc_d2.models.onnx.clips import PREFIX, for_any_clips, for_one_clip
from pcsc_d2.models.onnx.network import OUTPUTS
from pcsc_d2.models.onnx.pieces import between
from pcsc_d2.runtime.graphs import to_onnx


@dataclass(frozen=True)
class OnnxShape:
    """What is fixed in the file.

    Attributes:
        size: height and width of the clips; None leaves them free.
        one_clip: takes one clip at a time; otherwise any number, by a loop over them.
    """

    size: tuple[int, int] | None = None
    one_clip: bool = False


class _StreamMaps(nn.Module):
    """What a file has of a stream: its trunk between raw clips and maps."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.bottom_up = stream.backbone.bottom_up
        self.parts = nn.ModuleList(trunk_parts(self.bottom_up.trunk))
        self.register_buffer("mean", stream.pixel_mean)
        self.register_buffer("std", stream.pixel_std)
        self.divisor = stream.backbone.size_divisibility
        self.bounded = stream.bounded

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the parts hand on for raw clips (N, C, T, h, w), and c2..c5 with time pooled.

        All levels, as in dense mode; pyramids take those they need.
        """
        x = normalise(clips.float(), self.mean, self.std, self.bounded, differences=False)
        bottom, right = -x.shape[-2] % self.divisor, -x.shape[-1] % self.divisor
        x = F.pad(x, [0, right, 0, bottom])
        taps, maps, context = [], [], self.bottom_up.trunk.context
        for level, part in zip(LEVELS, self.parts):
            x = part(x)
            kept = cut_context(x, context) if level in ("c2", "c3") else x
            x = kept if level == "c3" else x
            taps.append(x)
            maps.append(self.bottom_up.pool(kept))
        return (*taps, *maps)


class _OneClip(nn.Module):
    """A network for one clip, whose detections are padded and have no axis for clips.

    Args:
        rgb, flow: see ``_StreamMaps``; the same module where the streams have one trunk.
        heads: traced; see ``trace_heads``.
        topk: detections that are padded to.
        actionness: whether the heads give it.
    """

    def __init__(
        self, rgb: nn.Module, flow: nn.Module, heads: nn.Module, topk: int, actionness: bool
    ) -> None:
        super().__init__()
        self.rgb = rgb
        self.flow = flow
        self.heads = heads
        self.topk = topk
        self.actionness = actionness

    def forward(self, *clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The RGB clip, and the flow unless both streams see RGB.

        Returns:
            What ``OUTPUTS`` and ``between`` name.
        """
        size = torch._shape_as_tensor(clips[0])[-2:]
        rgb = self.rgb(clips[0])
        flow = rgb if self.flow is self.rgb else self.flow(clips[-1])
        maps = (*rgb[len(LEVELS) :], *flow[len(LEVELS) :])
        between = rgb if flow is rgb else (*rgb, *flow)
        return (*self._padded(*self.heads(*maps, size)[:4]), *between, size)

    def _padded(
        self,
        boxes: torch.Tensor,
        scores: torch.Tensor,
        classes: torch.Tensor,
        actionness: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        more = [0, self.topk - scores.shape[0]]
        return (
            F.pad(boxes, [0, 0, *more]),
            F.pad(scores, more),
            F.pad(classes, more, value=-1),
            F.pad(actionness if self.actionness else torch.zeros_like(scores), more),
            torch._shape_as_tensor(scores)[0],
        )


@torch.no_grad()
def to_onnx_network(model: TwoStreamRCNN, clip_length: int, topk: int, shape: OnnxShape) -> bytes:
    """The model in evaluation mode as the bytes of an ONNX file.

    Args:
        clip_length: T.
        topk: detections that an image has at most.
        shape: what is fixed.

    Raises:
        ValueError: a stream sees differences.
    """
    import onnx

    if model.flow.differences:
        # Graphs are cut behind what a stream does to its frames: a window's piece would end in a
        # frame in which nothing changes.
        raise ValueError("MODEL.FLOW.SOURCE difference has no ONNX file: export it as .pt")
    size = shape.size or TRACED_SIZE
    clips = {"rgb": torch.randint(0, 256, (1, 3, clip_length, *size), dtype=torch.uint8)}
    if model.flow.reads != "rgb":
        clips["flow"] = torch.randn(1, 2, clip_length, *size)
    inner = {PREFIX + name: clip for name, clip in clips.items()}
    free = {} if shape.size else {name: {3: "height", 4: "width"} for name in inner}
    network = _traced(deepcopy(model), clips, topk, size)
    names = [*(PREFIX + x for x in OUTPUTS), *between(model.trunk_streams)]
    made = onnx.load_from_string(to_onnx(network, inner, names, free))
    # They are what the graph is cut at for windows, and no outputs of the file.
    made.graph.value_info.extend(made.graph.output[len(OUTPUTS) :])
    del made.graph.output[len(OUTPUTS) :]
    (for_one_clip if shape.one_clip else for_any_clips)(made)
    return made.SerializeToString()


def _traced(
    model: TwoStreamRCNN, clips: dict[str, torch.Tensor], topk: int, size: tuple[int, int]
) -> torch.jit.ScriptModule:
    """A :class:`_OneClip` of the model, whose norms are folded, in place."""
    fold_norms(model)
    streams = {name: _StreamMaps(getattr(model, name)).eval() for name in STREAMS}
    if model.one_trunk:
        streams["flow"] = streams["rgb"]
    found = [streams[name](clips.get(name, clips["rgb"])) for name in STREAMS]
    maps = [list(each[len(LEVELS) :]) for each in found]
    with warnings.catch_warnings():
        # What tracing cannot record is named in its warnings; export compares the outcome instead.
        warnings.simplefilter("ignore")
        heads = trace_heads(model, *maps, size)
        actionness = getattr(model.roi_heads, "actionness_head", None) is not None
        network = _OneClip(**streams, heads=heads, topk=topk, actionness=actionness).eval()
        return torch.jit.trace(network, tuple(clips.values()), check_trace=False)
