"""What Kinetics calls an actor's action: a guess of another kind beside the model's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from pcsc_d2.layers.folding import fold_norms
from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.i3d_weights import fill_trunk
from pcsc_d2.layers.kinetics_classifier import KineticsClassifier
from pcsc_d2.model_zoo.kinetics import holds_kinetics, kinetics_file, needed_kinetics
from pcsc_d2.models.clip_model import ClipDetections
from pcsc_d2.models.info import ModelError
from pcsc_d2.tubes.boxes import to_exclusive

if TYPE_CHECKING:
    from pcsc_d2.modeling import TwoStreamRCNN

# Sides of clips are filled up to multiples of this many pixels.
_DIVISOR = 32


def add_classifier(model: TwoStreamRCNN, weights: dict[str, torch.Tensor]) -> bool:
    """Give a model the Kinetics classifier if its RGB trunk is the one that it belongs to.

    Args:
        model: whose norms are not folded yet.
        weights: the Kinetics weights.

    Returns:
        Whether it is.
    """
    fits = holds_kinetics(model.rgb.backbone.bottom_up.trunk, weights)
    if fits:
        model.kinetics = KineticsClassifier(weights).to(model.device)
    return fits


def weights_for_names() -> dict[str, torch.Tensor]:
    """The Kinetics weights, for who asked for its names; ModelError says what to do."""
    try:
        weights = needed_kinetics()
    except (ValueError, OSError) as error:
        raise ModelError(f"--kinetics needs the Kinetics weights, and {error}") from None
    if not weights.keys() >= {"logits.conv3d.weight", "logits.conv3d.bias"}:
        reason = "holds no classifier: run pcsc weights kinetics again"
        raise ModelError(f"{kinetics_file()}: {reason}")
    return weights


class KineticsTrunk:
    """The Kinetics trunk and its classifier, for models whose own RGB trunk is another.

    Args:
        clip_length: T of the clips that it looks at.
        device: where it runs.

    Raises:
        ModelError: the Kinetics weights cannot be had; it says what to do.
    """

    def __init__(self, clip_length: int, device: str | torch.device = "cpu") -> None:
        weights = weights_for_names()
        self._trunk = InceptionI3D(3, norm="FrozenBN").eval()
        fill_trunk(self._trunk, weights, kinetics_file())
        fold_norms(self._trunk)
        self._trunk.to(device, memory_format=torch.channels_last_3d)
        self._classifier = KineticsClassifier(weights).to(device)
        self._clip_length = clip_length

    @torch.inference_mode()
    def add(
        self,
        rgb: torch.Tensor,
        key_frames: Sequence[int],
        found: Sequence[ClipDetections],
        size: tuple[int, int],
    ) -> list[ClipDetections]:
        """The detections with their ``kinetics``.

        Args:
            rgb: (3, W, h, w) uint8, a window that holds the whole clip around each key frame.
            key_frames: 0-based in the window.
            found: of each key frame.
            size: height and width of the original frames, which boxes are in.
        """
        scale = np.array([rgb.shape[-1] / size[1], rgb.shape[-2] / size[0]] * 2, np.float32)
        return [
            each._replace(kinetics=self._logits(rgb, key, to_exclusive(each.boxes) * scale))
            for key, each in zip(key_frames, found)
        ]

    def _logits(self, rgb: torch.Tensor, key_frame: int, boxes: np.ndarray) -> np.ndarray:
        if not len(boxes):
            return np.zeros((0, len(self._classifier.bias)), np.float32)
        first = key_frame - self._clip_length // 2
        device = self._classifier.bias.device
        clip = rgb[None, :, first : first + self._clip_length].to(device).float() / 127.5 - 1
        clip = F.pad(clip, [0, -clip.shape[-1] % _DIVISOR, 0, -clip.shape[-2] % _DIVISOR])
        c5 = self._trunk(clip)["c5"].mean(dim=2)[0]
        return self._classifier(c5, torch.from_numpy(boxes).to(device)).cpu().numpy()
