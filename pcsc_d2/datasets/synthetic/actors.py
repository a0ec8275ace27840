"""Actors of generated clips: figures whose appearance and motion are drawn independently.

An *appearance* is the colour of the clothes, which a single frame shows; all appearances share one
isotropic texture, so that optical flow sees each equally well. A *motion* is how the figure swings
while it acts; all motions share figure and texture, so that no single frame tells them. Both are
symmetric, so that flipping a clip from left to right keeps its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pcsc_d2.datasets.synthetic.scene import Scene, Sprite, drift, place, smooth_noise, sprite_from
from pcsc_d2.tubes.boxes import scale_boxes

APPEARANCES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "red": ((205, 45, 40), (245, 165, 60)),
    "green": ((35, 150, 60), (165, 225, 90)),
    "blue": ((45, 70, 200), (110, 195, 240)),
}
"""Name of an appearance to its two colours, RGB."""
MOTIONS = ("sway", "bounce", "twist")
"""Swinging sideways, up and down, and about the figure's middle."""
KINDS = ("plain", "still", "camouflaged")
"""As intended; hardly moving, so that flow misses it; clad in the background, so that RGB does."""

ASPECT = 0.66
"""Width of a figure over its height."""
_STILL = 0.07
_CAMOUFLAGE_TINT = 0.10
_CAMOUFLAGE_BLUR = 1.6  # pixels at a height of 50; a crisp rim would give the shape away
_SWING = {"sway": 0.085, "bounce": 0.085, "twist": 0.36}  # heights, heights, radians
_PERIOD = (6.0, 8.5)
_RAMP = (5, 9)
_SUPERSAMPLE = 4
_MARGIN = 4  # pixels of a patch around what it shows
_ROUNDING = 0.9  # pixels; limbs have no sharp corners where scale would show them


@dataclass(frozen=True)
class ActorSpec:
    """What an actor is; where and when it acts is drawn from the clip's seed.

    label: index of the class; appearance, motion, kind: keys of `APPEARANCES`, `MOTIONS`, `KINDS`.
    """

    label: int
    appearance: str
    motion: str
    kind: str


@dataclass(frozen=True)
class ActorTube:
    """The ground truth of one actor.

    start: first frame of the action, 1-based.
    boxes: (n, 4) float32, one a frame from `start` on, x1 y1 x2 y2 in pixels, corners inclusive.
    """

    actor: ActorSpec
    start: int
    boxes: np.ndarray

    @property
    def end(self) -> int:
        """Last frame of the action, 1-based, inclusive."""
        return self.start + len(self.boxes) - 1


def clothes(
    rng: np.random.Generator, appearance: str, shape: tuple[int, int], scale: int = 1
) -> np.ndarray:
    """A blotchy texture in the two colours of an appearance, `shape` times `scale` and 3 colours,
    float32 in 0..255."""
    main, accent = (np.asarray(colour, np.float32) for colour in APPEARANCES[appearance])
    grain = max(2.2, shape[0] / 14)
    mix = 1 / (1 + np.exp(-2.2 * smooth_noise(rng, shape, grain, scale)))[..., None]
    light = rng.uniform(0.85, 1.1) + 0.10 * smooth_noise(rng, shape, grain * 0.7, scale)[..., None]
    texture = (main * (1 - mix) + accent * mix) * light + rng.normal(0, 8, 3)
    return np.clip(texture, 0, 255).astype(np.float32)


def figure(
    rng: np.random.Generator, height: int, scale: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A person-like shape of about `height` pixels, `ASPECT` as wide, in a random pose.

    Returns:
        opacity (h, w) float32 in 0..1, the head's share of it (h, w), both times `scale`; outline
        (K, 2) in pixels of scale 1.
    """
    size = (height + 2 * _MARGIN, round(height * ASPECT) + 2 * _MARGIN)
    head, parts = _figure_parts(rng)
    extent = np.array([round(height * ASPECT) - 1, height - 1])
    offset = np.array([(size[1] - 1) / 2, _MARGIN])
    polygons = [part * extent + offset for part in (head, *parts)]
    opacity = _soft_mask(polygons, size, scale)
    return opacity, _soft_mask(polygons[:1], size, scale), np.concatenate(polygons)


def _figure_parts(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Head, and torso, arms and legs; x in -0.5..0.5, y in 0..1 from head to feet."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    head = np.stack([0.19 * np.cos(turn), 0.13 + 0.13 * np.sin(turn)], axis=1)
    torso = np.array([[-0.30, 0.25], [0.30, 0.25], [0.24, 0.64], [-0.24, 0.64]])
    hand, foot = rng.uniform(0.35, 0.62), rng.uniform(0.22, 0.36)
    right_arm = np.array([[0.26, 0.25], [0.34, 0.27], [0.5, hand], [0.38, hand + 0.06]])
    right_leg = np.array([[0.0, 0.60], [0.25, 0.60], [foot + 0.1, 1.0], [foot - 0.14, 1.0]])
    mirror = np.array([-1.0, 1.0])
    return head, [torso, right_arm, right_arm * mirror, right_leg, right_leg * mirror]


def _soft_mask(polygons: list[np.ndarray], size: tuple[int, int], scale: int) -> np.ndarray:
    """Coverage of each pixel by the polygons, `size` (h, w) times `scale`, float32 in 0..1."""
    zoom = _SUPERSAMPLE * scale
    fine = np.zeros((size[0] * zoom, size[1] * zoom), np.uint8)
    for polygon in polygons:
        points = np.round((polygon + 0.5) * zoom - 0.5).astype(np.int32)
        cv2.fillPoly(fine, [points], 255)
    shape = (size[1] * scale, size[0] * scale)
    coarse = cv2.resize(fine, shape, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if scale == 1:
        return cv2.GaussianBlur(coarse, (3, 3), 0.5)
    blurred = cv2.GaussianBlur(coarse, (0, 0), _ROUNDING * scale)
    return np.clip((blurred - 0.5) * 2 * scale + 0.5, 0, 1)


def _soften(opacity: np.ndarray, height: int, scale: int) -> np.ndarray:
    return cv2.GaussianBlur(opacity, (0, 0), _CAMOUFLAGE_BLUR * height / 50 * scale)


def ellipse(height: int, width: int, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A soft-edged ellipse: opacity (h, w) times `scale`, outline (K, 2); for what is no actor."""
    size = (height + 2 * _MARGIN, width + 2 * _MARGIN)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    outline = middle + np.stack([width * np.cos(turn), height * np.sin(turn)], axis=1) / 2
    return _soft_mask([outline], size, scale), outline


def envelope(rng: np.random.Generator, frames: int) -> np.ndarray:
    """How fully the actor acts in each frame, (N,) in 0..1: it starts and ends gradually.

    The action lasts between 50 % and 80 % of the clip; it is taken to be on where the value is
    at least one half.
    """
    length = rng.uniform(0.5, 0.8) * frames
    rest = frames - length
    margin = min(5.0, 0.35 * rest)
    start = rng.uniform(margin, rest - margin)
    rise, fall = rng.integers(*_RAMP, 2)
    # The clip must not begin or end within a ramp.
    rise, fall = min(rise, 2 * start), min(fall, 2 * (rest - start - 1))
    time = np.arange(frames)
    up = np.clip((time - start) / rise + 0.5, 0, 1)
    down = np.clip((start + length - time) / fall + 0.5, 0, 1)
    return np.minimum(up * up * (3 - 2 * up), down * down * (3 - 2 * down))


def swing(motion: str, phase: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacement (N, 2) and linear part (N, 2, 2) of a motion.

    `phase` (N,) is the signed size of the swing in -1..1, `height` the figure's in pixels.
    """
    amount = _SWING[motion] * phase
    offset = np.zeros((len(phase), 2))
    linear = np.tile(np.eye(2), (len(phase), 1, 1))
    if motion == "sway":  # the feet follow less than the head
        offset[:, 0] = amount * height
        linear[:, 0, 1] = -0.6 * amount
    elif motion == "bounce":
        offset[:, 1] = amount * height
        linear[:, 1, 1] = 1 - 0.6 * amount
    else:
        cos, sin = np.cos(amount), np.sin(amount)
        linear[:, 0, 0], linear[:, 0, 1] = cos, -sin
        linear[:, 1, 0], linear[:, 1, 1] = sin, cos
    return offset, linear


def make_actor(
    rng: np.random.Generator, scene: Scene, actor: ActorSpec, height: int, centre: np.ndarray
) -> tuple[Sprite, ActorTube]:
    """Draw one actor of `height` pixels around `centre` (x, y) for the whole clip.

    The ground truth holds the frames of the action alone, though the actor is there all along.
    """
    frames = len(scene.camera)
    opacity, head, outline = figure(rng, height, scene.scale)
    shape = (opacity.shape[0] // scene.scale, opacity.shape[1] // scene.scale)
    texture = _dress(rng, scene, actor, shape, head, centre)
    extent = envelope(rng, frames)
    time = np.arange(frames) / rng.uniform(*_PERIOD) + rng.uniform()
    phase = extent * np.sin(2 * np.pi * time)
    reach = np.array([0.08, 0.03]) * height
    walk = drift(rng, frames, (reach[0], reach[1]), (35.0, 70.0))
    if actor.kind == "still":
        phase, walk = phase * _STILL, walk * 0
    offset, linear = swing(actor.motion, phase, height)
    transforms = place(shape, centre + walk + offset, linear)
    if actor.kind == "camouflaged":
        opacity = _soften(opacity, height, scene.scale)
    sprite = sprite_from(texture, opacity, transforms=transforms, outline=outline)
    return sprite, _tube(scene, actor, sprite, extent)


def _dress(
    rng: np.random.Generator,
    scene: Scene,
    actor: ActorSpec,
    shape: tuple[int, int],
    head: np.ndarray,
    centre: np.ndarray,
) -> np.ndarray:
    worn = clothes(rng, actor.appearance, shape, scene.scale)
    skin = rng.uniform(0.45, 1.0) * np.array([225.0, 180.0, 150.0])
    grain = max(2.2, shape[0] / 16)
    skin = skin + 14 * smooth_noise(rng, shape, grain, scene.scale)[..., None]
    dressed = worn + (skin - worn) * head[..., None]
    if actor.kind != "camouflaged":
        return dressed
    hidden = scene.crop(centre, shape)
    # The tint must not bring the clothes' own pattern with it: only their mean colour is faint.
    return hidden + _CAMOUFLAGE_TINT * (worn.mean(axis=(0, 1)) - hidden.mean(axis=(0, 1)))


def _tube(scene: Scene, actor: ActorSpec, sprite: Sprite, extent: np.ndarray) -> ActorTube:
    acting = np.flatnonzero(extent >= 0.5)
    boxes = scene.to_frame(sprite.world_boxes())[acting[0] : acting[-1] + 1]
    height, width = scene.size
    limits = np.array([width - 1, height - 1, width - 1, height - 1])
    boxes = np.clip(boxes, 0, limits).astype(np.float32)
    if scene.scale > 1:  # at 1 not even by rounding
        boxes = scale_boxes(boxes, scene.scale)
    return ActorTube(actor, int(acting[0]) + 1, boxes)


def still_patch(
    rng: np.random.Generator, scene: Scene, appearance: str, height: int, centre: np.ndarray
) -> Sprite:
    """A distractor for RGB: a patch dressed like an actor, fixed to the background."""
    width = round(height * ASPECT)
    opacity, outline = ellipse(height, width, scene.scale)
    shape = (height + 2 * _MARGIN, width + 2 * _MARGIN)
    transforms = place(shape, np.tile(centre, (len(scene.camera), 1)))
    texture = clothes(rng, appearance, shape, scene.scale)
    return sprite_from(texture, opacity, transforms=transforms, outline=outline)


def moving_blob(rng: np.random.Generator, scene: Scene, height: int, centre: np.ndarray) -> Sprite:
    """A distractor for flow: a piece of the background that wanders, like no class does."""
    width = round(height * rng.uniform(0.6, 1.1))
    opacity, outline = ellipse(height, width, scene.scale)
    shape = (height + 2 * _MARGIN, width + 2 * _MARGIN)
    frames = len(scene.camera)
    path = drift(rng, frames, (0.18 * height, 0.18 * height), (14.0, 24.0))
    transforms = place(shape, centre + path)
    texture = scene.crop(centre, shape)
    opacity = _soften(opacity, height, scene.scale)
    return sprite_from(texture, opacity, transforms=transforms, outline=outline)
