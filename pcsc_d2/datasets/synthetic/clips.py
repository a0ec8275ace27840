"""Plans of generated clips (who acts where) and their frames, in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pcsc_d2.datasets.synthetic.actors import (
    APPEARANCES,
    ASPECT,
    MOTIONS,
    ActorSpec,
    ActorTube,
    make_actor,
    moving_blob,
    still_patch,
)
from pcsc_d2.datasets.synthetic.scene import Scene, Sprite

SETS: dict[str, tuple[tuple[str, str], ...]] = {
    "pairs": tuple((appearance, motion) for appearance in APPEARANCES for motion in MOTIONS),
    "easy": (("red", "sway"), ("green", "sway"), ("blue", "bounce"), ("blue", "twist")),
}
"""Name of a set to the (appearance, motion) of its classes."""
MAX_ACTORS = 3
_KIND_DECK = ("still",) * 2 + ("camouflaged",) * 2 + ("plain",) * 7
_DISTRACTOR_CHANCE = 0.7
_MIN_FRAMES, _MIN_SIDE = 16, 32


@dataclass(frozen=True)
class ClipSpec:
    """All that a clip follows from.

    size: (height, width) in pixels; frames: length; entropy: seeds of everything drawn.
    """

    entropy: tuple[int, ...]
    size: tuple[int, int]
    frames: int
    actors: tuple[ActorSpec, ...]


def labels_of(name: str) -> tuple[str, ...]:
    """Class labels of a set, such as `red-sway`.

    Raises:
        ValueError: if there is no such set.
    """
    if name not in SETS:
        raise ValueError(f"no generated set {name!r}: choose one of {', '.join(SETS)}")
    return tuple(f"{appearance}-{motion}" for appearance, motion in SETS[name])


def plan_split(
    name: str,
    split: str,
    count: int,
    size: tuple[int, int] = (96, 128),
    length: tuple[int, int] = (40, 60),
    seed: int = 0,
) -> list[ClipSpec]:
    """Cast `count` clips: classes and kinds in balance over the split.

    A smaller count gives the first clips of a larger one.

    Args:
        name: a key of `SETS`.
        split: any name; other splits get other clips.
        count: number of clips.
        size: (height, width) of the frames, even numbers.
        length: fewest and most frames of a clip, both inclusive.
        seed: other seeds give other clips.

    Raises:
        ValueError: if a parameter is out of its range.
    """
    labels_of(name)
    _check(count, size, length)
    source = (seed, zlib.crc32(name.encode()), zlib.crc32(split.encode()))
    streams = [np.random.default_rng((*source, part)) for part in range(4)]
    classes, kinds = _deal(streams[0], range(len(SETS[name]))), _deal(streams[1], _KIND_DECK)
    specs = []
    for index in range(count):
        cast = [(next(classes), next(kinds)) for _ in range(streams[2].integers(1, MAX_ACTORS + 1))]
        actors = tuple(ActorSpec(label, *SETS[name][label], kind) for label, kind in cast)
        frames = int(streams[3].integers(length[0], length[1] + 1))
        specs.append(ClipSpec((*source, len(streams), index), size, frames, actors))
    return specs


def _deal(rng: np.random.Generator, deck: Sequence) -> Iterator:
    """The cards of a deck in random order, again and again."""
    while True:
        yield from (deck[i] for i in rng.permutation(len(deck)))


def _check(count: int, size: tuple[int, int], length: tuple[int, int]) -> None:
    if count < 0:
        raise ValueError(f"number of clips {count}: must not be negative")
    if min(size) < _MIN_SIDE or size[0] % 2 or size[1] % 2:
        raise ValueError(f"frame size {size}: sides must be even and at least {_MIN_SIDE}")
    if not _MIN_FRAMES <= length[0] <= length[1]:
        raise ValueError(f"clip length {length}: needs {_MIN_FRAMES} <= fewest <= most frames")


def render_clip(spec: ClipSpec, scale: int = 1) -> tuple[np.ndarray, list[ActorTube]]:
    """Draw a clip.

    Args:
        spec: what the clip follows from.
        scale: whole multiple of `spec.size`; the scene is the same at any, in finer pixels.

    Returns:
        frames: (N, H, W, 3) uint8, RGB; H and W are those of `spec.size` times `scale`.
        tubes: one an actor, in the order of `spec.actors`; see `ActorTube`.

    Raises:
        ValueError: if the scale is less than 1.
    """
    if scale < 1:
        raise ValueError(f"scale {scale}: must be at least 1")
    rng = np.random.default_rng(spec.entropy)
    scene = Scene.random(rng, spec.size, spec.frames, scale)
    heights, centres = _positions(rng, spec)
    made = [
        make_actor(rng, scene, actor, height, centre)
        for actor, height, centre in zip(spec.actors, heights, centres)
    ]
    sprites = [sprite for sprite, _ in made]
    frames = scene.render(_distractors(rng, scene, sprites) + sprites)
    return frames, [tube for _, tube in made]


def _positions(rng: np.random.Generator, spec: ClipSpec) -> tuple[np.ndarray, np.ndarray]:
    """Height (K,) and centre (K, 2) of each actor: one in each of K columns of the frame."""
    height, width = spec.size
    count = len(spec.actors)
    column = width / count
    tallest = min(0.58 * height, 0.95 * column / ASPECT)
    heights = np.round(rng.uniform(0.7, 1.0, count) * tallest).astype(int)
    slack = np.maximum(column - heights * ASPECT, 0) * 0.45
    x = (rng.permutation(count) + 0.5) * column + rng.uniform(-1, 1, count) * slack
    room = (height - heights) / 2 - 0.06 * height
    y = (height - 1) / 2 + rng.uniform(-1, 1, count) * room
    return heights, np.stack([x - 0.5, y], axis=1)


def _distractors(rng: np.random.Generator, scene: Scene, actors: list[Sprite]) -> list[Sprite]:
    """Up to one for each stream, where the actors leave most room."""
    tall = 0.4 * scene.size[0]
    taken = [sprite.world_boxes().mean(axis=0) for sprite in actors]
    found: list[Sprite] = []
    for moves in (False, True):
        height = round(tall * rng.uniform(0.8, 1.2))
        centre = _free_place(rng, scene.size, taken)
        wanted, appearance = rng.uniform() < _DISTRACTOR_CHANCE, str(rng.choice(list(APPEARANCES)))
        if not wanted:
            continue
        sprite = (
            moving_blob(rng, scene, height, centre)
            if moves
            else still_patch(rng, scene, appearance, height, centre)
        )
        found.append(sprite)
        taken.append(sprite.world_boxes().mean(axis=0))
    return found


def _free_place(
    rng: np.random.Generator, size: tuple[int, int], taken: list[np.ndarray]
) -> np.ndarray:
    """Of some random points (x, y), the one farthest from the boxes that are taken."""
    points = rng.uniform(0.12, 0.88, (24, 2)) * [size[1] - 1, size[0] - 1]
    boxes = np.stack(taken)
    gaps = np.maximum(boxes[None, :, :2] - points[:, None], points[:, None] - boxes[None, :, 2:])
    return points[gaps.max(axis=2).min(axis=1).argmax()]
