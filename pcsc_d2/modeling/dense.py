"""Dense video mode: the key frames of a window share the trunks' work on the frames they share.

What is shared and what that changes at the borders of clips: ``layers/window_trunk.py``. Message
passing, pyramids, RPNs and heads run for each key frame, on maps of its own clip. With
MODEL.I3D.NORM GN there is one more difference: its statistics are over the window's frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.modeling import detector_postprocess
from detectron2.structures import ImageList

from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.window_trunk import LEVELS, Sharing, WindowTrunk, trunk_parts
from pcsc_d2.modeling.two_stream_rcnn import TwoStreamRCNN


class DenseDetector:
    """Detects in many key frames of a window at once with a model trained on single clips.

    Args:
        model: in evaluation mode; its parameters are used, not copied.
        clip_length: T, as in INPUT.CLIP_LENGTH.
        sharing: what is computed once for the window.
        batch: key frames that run at once through what is not shared.

    Raises:
        ValueError: T is not a multiple of the stride in time of the level that is shared.
    """

    def __init__(
        self,
        model: TwoStreamRCNN,
        clip_length: int,
        sharing: Sharing,
        batch: int = 4,
    ) -> None:
        self._model = model
        self._clip_length = clip_length
        context = model.rgb.backbone.bottom_up.trunk.context
        self._shared = sharing.parts(clip_length, context)
        self._step = sharing.step
        self._batch = batch
        self._trunks = {s: self._window_trunk(s) for s in model.trunk_streams}

    def _window_trunk(self, stream: str) -> WindowTrunk:
        bottom_up = getattr(self._model, stream).backbone.bottom_up
        trunk = bottom_up.trunk
        return WindowTrunk(
            trunk_parts(trunk), self._clip_length, bottom_up.time_pool, trunk.context, self._batch
        )

    @torch.no_grad()
    def detect_window(
        self,
        rgb: torch.Tensor,
        flow: torch.Tensor,
        key_frames: Sequence[int],
        size: tuple[int, int],
    ) -> list[dict]:
        """What ``TwoStreamRCNN.inference`` returns for the clip of each key frame.

        Args:
            rgb: (3, W, h, w) uint8.
            flow: (2, W, h, w) float32 in pixels.
            key_frames: 0-based in the window, ascending; it holds frames k - T // 2 to
                k - T // 2 + T - 1 of each.
            size: height and width of the original frame, which boxes are scaled to.
        """
        starts = [int(k) - self._clip_length // 2 for k in key_frames]
        images, maps = {}, {}
        for s in STREAMS:
            images[s] = getattr(self._model, s).preprocess([{"rgb": rgb, "flow": flow}])
            if s not in self._trunks:
                maps[s] = maps["rgb"]
                continue
            levels = self._trunks[s].window(images[s].tensor, starts, self._shared, self._step)
            maps[s] = dict(zip(LEVELS, levels))
        outputs = []
        for first in range(0, len(starts), self._batch):
            rows = slice(first, min(first + self._batch, len(starts)))
            outputs += self._detect(images, maps, rows, size)
        return outputs

    def _detect(
        self,
        images: dict[str, ImageList],
        maps: dict[str, dict[str, torch.Tensor]],
        rows: slice,
        size: tuple[int, int],
    ) -> list[dict]:
        number = rows.stop - rows.start
        batch = {
            s: ImageList(x.tensor.expand(number, -1, -1, -1, -1), x.image_sizes * number)
            for s, x in images.items()
        }
        chosen = {s: {level: x[rows] for level, x in levels.items()} for s, levels in maps.items()}
        stages = self._model.detect(batch, self._model.pyramids(chosen))
        self._model.add_kinetics(stages[-1], chosen["rgb"]["c5"])
        return [{"instances": detector_postprocess(x, *size)} for x in stages[-1]]
