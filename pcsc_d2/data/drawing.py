"""What random augmentations draw, from a generator of the clip's own.

Detectron2's augmentations draw from NumPy's global generator, which belongs to the whole process:
what else draws or seeds there changes them, and they it. The transforms of the usual
augmentations are drawn here from a generator that is given. Any other augmentation draws from the
global one, which is seeded for it; whoever else seeds that one meanwhile takes ``SEEDING`` first.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import BlendTransform, CropTransform, NoOpTransform, Transform

Generator = np.random.Generator
SEEDING = threading.RLock()
"""Held while NumPy's global generator is seeded."""


def draw_all(
    augmentations: Sequence[T.Augmentation], image: np.ndarray, generator: Generator
) -> T.TransformList:
    """The transforms of augmentations, each for the image as the ones before it leave it.

    Args:
        augmentations: Detectron2's, or of one's own.
        image: (H, W, C).
        generator: of the clip.
    """
    inputs = T.AugInput(image)
    return T.TransformList([_draw(each, inputs, generator) for each in augmentations])


@contextlib.contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for a while; one thread at a time, since they share it."""
    with SEEDING:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def _draw(augmentation: T.Augmentation, inputs: T.AugInput, generator: Generator) -> Transform:
    """The transform of one augmentation, which is done to the inputs."""
    # By the very class: a subclass may draw otherwise.
    rule = _RULES.get(type(augmentation))
    if rule is None:
        with numpy_seed(int(generator.integers(2**32))):
            return augmentation(inputs)
    transform = rule(augmentation, inputs.image, generator)
    inputs.transform(transform)
    return transform


def _flip(flip: T.RandomFlip, image: np.ndarray, generator: Generator) -> Transform:
    height, width = image.shape[:2]
    if generator.random() >= flip.prob:
        return NoOpTransform()
    return T.HFlipTransform(width) if flip.horizontal else T.VFlipTransform(height)


def _resize(resize: T.ResizeShortestEdge, image: np.ndarray, generator: Generator) -> Transform:
    sizes = resize.short_edge_length
    if resize.is_range:
        size = int(generator.integers(sizes[0], sizes[1] + 1))
    else:
        size = int(sizes[int(generator.integers(len(sizes)))])
    if size == 0:
        return NoOpTransform()
    old = image.shape[:2]
    return T.ResizeTransform(
        *old, *resize.get_output_shape(*old, size, resize.max_size), resize.interp
    )


def _crop(crop: T.RandomCrop, image: np.ndarray, generator: Generator) -> Transform:
    size = image.shape[:2]
    height, width = _crop_size(crop, size, generator)
    y = int(generator.integers(size[0] - height + 1))
    x = int(generator.integers(size[1] - width + 1))
    return CropTransform(x, y, width, height)


def _crop_size(crop: T.RandomCrop, size: tuple[int, int], generator: Generator) -> tuple[int, int]:
    """As ``RandomCrop.get_crop_size``."""
    if crop.crop_type == "absolute":
        return min(crop.crop_size[0], size[0]), min(crop.crop_size[1], size[1])
    if crop.crop_type == "absolute_range":
        low, high = crop.crop_size
        height = generator.integers(min(size[0], low), min(size[0], high) + 1)
        width = generator.integers(min(size[1], low), min(size[1], high) + 1)
        return int(height), int(width)
    share = np.asarray(crop.crop_size, np.float32)
    if crop.crop_type == "relative_range":
        share = share + generator.random(2) * (1 - share)
    return int(size[0] * share[0] + 0.5), int(size[1] * share[1] + 0.5)


def _brightness(light: T.RandomBrightness, image: np.ndarray, generator: Generator) -> Transform:
    weight = generator.uniform(light.intensity_min, light.intensity_max)
    return BlendTransform(src_image=0, src_weight=1 - weight, dst_weight=weight)


_RULES: dict[type, Callable[..., Transform]] = {
    T.RandomFlip: _flip,
    T.ResizeShortestEdge: _resize,
    T.RandomCrop: _crop,
    T.RandomBrightness: _brightness,
}
