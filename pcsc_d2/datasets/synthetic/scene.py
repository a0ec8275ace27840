"""The world of a generated clip: random textures, a camera that drifts, sprites drawn over it.

World coordinates are pixels of the frame that the camera would see at rest; x is rightwards,
y is downwards, and integer coordinates are pixel centres, as in `cv2.warpAffine`.

A clip can be rendered at a whole multiple of its size. World coordinates, and every size here, stay
those of scale 1, and so does every random draw: only textures, masks and frames have `scale` times
as many rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CAMERA_REACH = 0.03
"""Amplitude of the camera's drift, as a share of the frame's height."""
_PALETTE_CONTRAST = 16.0
_GRAIN_CONTRAST = 30.0


@dataclass
class Sprite:
    """A textured patch and where it is in every frame.

    rgba: (h, w, 4) float32, colour 0..255 multiplied by the opacity, and the opacity 0..1; drawn
        at the scene's scale.
    transforms: (N, 2, 3) float64, patch pixels to world pixels for each frame.
    outline: (K, 2) float64, vertices (x, y) of the visible shape in patch pixels.
    """

    rgba: np.ndarray
    transforms: np.ndarray
    outline: np.ndarray

    def world_boxes(self) -> np.ndarray:
        """The tight box of the outline in every frame, (N, 4) x1 y1 x2 y2, not clipped."""
        points = self.outline @ self.transforms[:, :, :2].transpose(0, 2, 1)
        points = points + self.transforms[:, None, :, 2]
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, scale: int = 1
) -> np.ndarray:
    """Noise whose blobs are about `cell` pixels wide: `shape` times `scale`, float32, mean 0,
    deviation near 1."""
    height, width = shape
    grid = (int(np.ceil(height / cell)) + 3, int(np.ceil(width / cell)) + 3)
    coarse = rng.standard_normal(grid).astype(np.float32)
    size = (int(np.ceil(grid[1] * cell)) * scale, int(np.ceil(grid[0] * cell)) * scale)
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    # The rows and columns at the rim of the resized grid repeat and would show as streaks.
    rim = int(cell) * scale
    return fine[rim : rim + height * scale, rim : rim + width * scale] * 1.2


def background_texture(
    rng: np.random.Generator, shape: tuple[int, int], grain: float, scale: int = 1
) -> np.ndarray:
    """A muted, blotchy texture, `shape` times `scale` and 3 colours, float32 in 0..255.

    Args:
        rng: its draws make the palette and the blots.
        shape: (height, width) in pixels.
        grain: width in pixels of the finest blots; the larger ones are 3 and 8 times as wide.
    """
    base = rng.uniform(85, 160) + rng.uniform(-22, 22, 3)
    tint = rng.normal(0, 0.5, (2, 3)) + rng.choice([-1.0, 1.0], (2, 1))
    blots = np.stack([smooth_noise(rng, shape, grain * size, scale) for size in (8, 3)])
    light = smooth_noise(rng, shape, grain, scale)
    colour = np.tensordot(blots, tint * _PALETTE_CONTRAST, axes=(0, 0))
    texture = base + colour + _GRAIN_CONTRAST * light[..., None]
    return np.clip(texture, 0, 255).astype(np.float32)


def drift(
    rng: np.random.Generator, frames: int, reach: tuple[float, float], period: tuple[float, float]
) -> np.ndarray:
    """A slow smooth path, (N, 2) offsets (x, y) of at most `reach` pixels.

    `period` bounds the length of a swing in frames.
    """
    time = np.arange(frames)[:, None]
    lengths = rng.uniform(*period, 2)
    phases = rng.uniform(0, 2 * np.pi, 2)
    return np.sin(2 * np.pi * time / lengths + phases) * np.asarray(reach)


def place(
    size: tuple[int, int], centres: np.ndarray, linear: np.ndarray | None = None
) -> np.ndarray:
    """Transforms, (N, 2, 3), that put the middle of a patch of `size` (h, w) at `centres` (N, 2).

    `linear` (N, 2, 2) is applied about the patch's middle; none leaves the patch as it is.
    """
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    if linear is None:
        linear = np.broadcast_to(np.eye(2), (len(centres), 2, 2))
    shift = centres - linear @ middle
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def sprite_from(texture: np.ndarray, opacity: np.ndarray, **where: np.ndarray) -> Sprite:
    """A sprite of `texture` (h, w, 3) seen through `opacity` (h, w) in 0..1."""
    rgba = np.dstack([texture * opacity[..., None], opacity]).astype(np.float32)
    return Sprite(rgba=rgba, **where)


def at_scale(matrix: np.ndarray, scale: int) -> np.ndarray:
    """An affine map (2, 3) between pixels, as one between pixels `scale` times as fine."""
    # A coarse pixel's centre is that of its fine ones.
    middle = (scale - 1) / 2
    shift = matrix[:, 2] * scale + middle - matrix[:, :2] @ (middle, middle)
    return np.concatenate([matrix[:, :2], shift[:, None]], axis=1)


@dataclass
class Scene:
    """A background larger than the frame, and the camera's path over it.

    canvas: (H + 2 margin, W + 2 margin) times `scale`, 3 colours, float32.
    camera: (N, 2) offsets in pixels.
    """

    canvas: np.ndarray
    camera: np.ndarray
    margin: int
    size: tuple[int, int]
    scale: int = 1

    @classmethod
    def random(
        cls, rng: np.random.Generator, size: tuple[int, int], frames: int, scale: int = 1
    ) -> Scene:
        """A scene for `frames` frames of `size` (height, width), rendered at `scale`."""
        reach = CAMERA_REACH * size[0]
        margin = int(np.ceil(reach)) + 2
        shape = (size[0] + 2 * margin, size[1] + 2 * margin)
        grain = size[0] / 96 * rng.uniform(3.0, 4.5)
        canvas = background_texture(rng, shape, grain, scale)
        camera = drift(rng, frames, (reach, reach * 0.6), (40.0, 90.0))
        return cls(canvas, camera, margin, size, scale)

    def crop(self, centre: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The background around `centre` (x, y), of `size` (h, w) times the scale and 3 colours,
        mirrored where it leaves the canvas."""
        corner = centre + self.margin - (np.array([size[1], size[0]]) - 1) / 2
        matrix = np.array([[1.0, 0.0, -corner[0]], [0.0, 1.0, -corner[1]]])
        return cv2.warpAffine(
            self.canvas,
            at_scale(matrix, self.scale),
            (size[1] * self.scale, size[0] * self.scale),
            borderMode=cv2.BORDER_REFLECT,
        )

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """World boxes (N, 4), one a frame, to pixels of the frame; not clipped."""
        return boxes - np.tile(self.camera, 2)

    def render(self, sprites: list[Sprite]) -> np.ndarray:
        """Draw the sprites in the order given: (N, H, W, 3) uint8 RGB, H and W times the scale."""
        height, width = (side * self.scale for side in self.size)
        rests = [self.to_frame(sprite.world_boxes()) for sprite in sprites]
        frames = np.empty((len(self.camera), height, width, 3), np.uint8)
        for index, (x, y) in enumerate(self.camera):
            shift = np.array([[1.0, 0.0, -self.margin - x], [0.0, 1.0, -self.margin - y]])
            frame = cv2.warpAffine(self.canvas, at_scale(shift, self.scale), (width, height))
            for sprite, boxes in zip(sprites, rests):
                self._draw(frame, sprite, index, boxes[index])
            frames[index] = np.clip(frame + 0.5, 0, 255)
        return frames

    def _draw(self, frame: np.ndarray, sprite: Sprite, index: int, box: np.ndarray) -> None:
        height, width = self.size
        # The soft edge reaches a little over the outline.
        x1, y1 = (max(0, int(v) - 3) for v in np.floor(box[:2]))
        x2, y2 = min(width, int(np.ceil(box[2])) + 4), min(height, int(np.ceil(box[3])) + 4)
        if x1 >= x2 or y1 >= y2:
            return
        matrix = sprite.transforms[index].copy()
        matrix[:, 2] -= self.camera[index] + (x1, y1)
        x1, y1, x2, y2 = (side * self.scale for side in (x1, y1, x2, y2))
        patch = cv2.warpAffine(sprite.rgba, at_scale(matrix, self.scale), (x2 - x1, y2 - y1))
        target = frame[y1:y2, x1:x2]
        target *= 1 - patch[..., 3:]
        target += patch[..., :3]
