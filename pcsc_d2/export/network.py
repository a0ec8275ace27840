"""The network that an exported file holds, as one scripted module around traced parts.

What depends on the number of clips, of key frames and on their sizes is scripted; convolutions and
heads are traced from the model. So the file has one loop over images and takes any number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from pcsc_d2.layers.normalisation import normalise
from pcsc_d2.layers.window_trunk import WindowTrunk

# Of one image: boxes (n, 4) float32 x1 y1 x2 y2 in pixels of the clip, as Detectron2's; scores (n,)
# float32; classes (n,) int64; actionness (n,) float32, or (0,) for a model without that head;
# logits (n, 400) of the Kinetics classes, or (0,) for a model without the Kinetics trunk; features
# (n, D) float16 for the network of segments, or (0,) for a model without it.
Detected = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
# What answers as an exported file does: see ``ExportedDetector.forward``.
Network = Callable[[torch.Tensor, torch.Tensor], list[Detected]]


class ExportedStream(nn.Module):
    """Normalises and pads clips as ``modeling.stream.Stream`` does, and runs their trunk.

    Args:
        trunk: of traced parts.
        mean, std: (C, 1, 1, 1).
        divisor: clips are padded to multiples of this many pixels.
        bounded, differences: see ``normalise``.
    """

    def __init__(
        self,
        trunk: WindowTrunk,
        mean: torch.Tensor,
        std: torch.Tensor,
        divisor: int,
        bounded: bool,
        differences: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.divisor = divisor
        self.bounded = bounded
        self.differences = differences

    def forward(self, clips: torch.Tensor) -> list[torch.Tensor]:
        """Raw clips ``(N, C, T, h, w)`` -> c2..c5 with time pooled."""
        return self.trunk(self.preprocess(clips))

    @torch.jit.export
    def window(
        self, frames: torch.Tensor, starts: list[int], shared: int, step: int
    ) -> list[torch.Tensor]:
        """See ``WindowTrunk.window``; raw frames ``(1, C, W, h, w)``."""
        return self.trunk.window(self.preprocess(frames), starts, shared, step)

    def preprocess(self, clips: torch.Tensor) -> torch.Tensor:
        x = clips.to(device=self.mean.device, dtype=torch.float32)
        x = normalise(x, self.mean, self.std, self.bounded, self.differences)
        bottom, right = -x.shape[-2] % self.divisor, -x.shape[-1] % self.divisor
        return F.pad(x, [0, right, 0, bottom])


class ExportedDetector(nn.Module):
    """What a file holds. ``torch.jit.load`` gives it back with ``forward`` and ``window``.

    Args:
        rgb, flow: the streams.
        heads: traced; four maps of either stream, of one image, and (h, w) as an int64 tensor ->
            the fields of ``Detected``.
        clip_length: T.
        second_sees_rgb: both streams are fed the RGB clip.
        one_trunk: what the RGB stream's trunk makes of it serves both.
        segments: weights of the network of segments (``layers.segments.to_vector``), which the file
            hands on and does not run.
    """

    def __init__(
        self,
        rgb: ExportedStream,
        flow: ExportedStream,
        heads: nn.Module,
        clip_length: int,
        second_sees_rgb: bool = False,
        one_trunk: bool = False,
        segments: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("segments", torch.zeros(0) if segments is None else segments)
        self.rgb = rgb
        self.flow = flow
        self.heads = heads
        self.clip_length = clip_length
        self.second_sees_rgb = second_sees_rgb
        self.one_trunk = one_trunk

    def forward(self, rgb: torch.Tensor, flow: torch.Tensor) -> list[Detected]:
        """The detections of each clip's key frame, frame T // 2.

        Args:
            rgb: (N, 3, T, h, w), RGB in 0 to 255, uint8 or float.
            flow: (N, 2, T, h, w) float32, in pixels.
        """
        second = rgb if self.second_sees_rgb else flow
        maps = self.rgb(rgb)
        second_maps = maps if self.one_trunk else self.flow(second)
        return self.detect(maps, second_maps, rgb.shape[-2], rgb.shape[-1])

    @torch.jit.export
    def window(
        self, rgb: torch.Tensor, flow: torch.Tensor, key_frames: list[int], shared: int, step: int
    ) -> list[Detected]:
        """The detections of several key frames of a window, which share the trunks' work.

        Args:
            rgb: (3, W, h, w).
            flow: (2, W, h, w).
            key_frames: 0-based in the window, ascending; it holds the whole clip around each.
            shared: levels of the trunk that are run once for the window: 2 for up to c3; 0 is clip
                by clip.
            step: frames between the clips that its other levels are run for. See
                ``layers/window_trunk.py``.
        """
        starts = [k - self.clip_length // 2 for k in key_frames]
        first_maps = self.rgb.window(rgb[None], starts, shared, step)
        second = rgb if self.second_sees_rgb else flow
        second_maps = first_maps
        if not self.one_trunk:
            second_maps = self.flow.window(second[None], starts, shared, step)
        return self.detect(first_maps, second_maps, rgb.shape[-2], rgb.shape[-1])

    def detect(
        self, rgb: list[torch.Tensor], flow: list[torch.Tensor], height: int, width: int
    ) -> list[Detected]:
        size = torch.tensor([height, width])
        found: list[Detected] = []
        for i in range(rgb[0].shape[0]):
            r, f = [x[i : i + 1] for x in rgb], [x[i : i + 1] for x in flow]
            found.append(self.heads(r[0], r[1], r[2], r[3], f[0], f[1], f[2], f[3], size))
        return found
