"""Augmentations draw from the clip's generator: nothing else in the process changes them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.data import transforms as T

from pcsc_d2.data.drawing import draw_all, numpy_seed
from pcsc_d2.engine import SeedEachIteration

IMAGE = np.zeros((40, 60, 3), np.uint8)
USUAL = [
    T.RandomCrop("relative_range", [0.5, 0.5]),
    T.ResizeShortestEdge([16, 20, 24, 28], 64, "choice"),
    T.RandomFlip(),
    T.RandomBrightness(0.5, 1.5),
]
# Not among the rules: it draws from NumPy's global generator.
OTHER = [*USUAL, T.RandomContrast(0.5, 1.5)]
CLIPS = 300


def drawn(augmentations: list[T.Augmentation], seed: int) -> str:
    transforms = draw_all(augmentations, IMAGE, np.random.default_rng(seed)).transforms
    return "; ".join(f"{type(t).__name__} {sorted(vars(t).items())}" for t in transforms)


def seed_without_end(done: threading.Event) -> None:
    """What the training loop does beside the loader's threads."""
    hook = SeedEachIteration(1)
    while not done.is_set():
        for iteration in range(100):
            hook.trainer = SimpleNamespace(iter=iteration)
            hook.before_step()
            time.sleep(0)


@pytest.mark.parametrize("augmentations", [USUAL, OTHER], ids=["usual", "other"])
def test_threads_and_seeding_beside_them_change_nothing(
    augmentations: list[T.Augmentation],
) -> None:
    alone = [drawn(augmentations, seed) for seed in range(CLIPS)]
    done = threading.Event()
    beside = threading.Thread(target=seed_without_end, args=(done,))
    beside.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda seed: drawn(augmentations, seed), range(CLIPS)))
    finally:
        done.set()
        beside.join()
    assert sum(a != b for a, b in zip(alone, together)) == 0
    assert len(set(alone)) > 0.9 * CLIPS


def test_usual_augmentations_leave_the_global_generator_alone() -> None:
    np.random.seed(1)
    expected = np.random.uniform()
    np.random.seed(1)
    drawn(USUAL, 3)
    assert np.random.uniform() == expected


@pytest.mark.parametrize(
    "augmentation",
    [
        *USUAL,
        T.RandomFlip(0.2, horizontal=False, vertical=True),
        T.ResizeShortestEdge([16, 28], 30, "range"),
        T.RandomCrop("relative", [0.5, 0.8]),
        T.RandomCrop("absolute", [100, 20]),
        T.RandomCrop("absolute_range", [10, 50]),
    ],
    ids=str,
)
def test_outcomes_are_those_of_detectron2(augmentation: T.Augmentation) -> None:
    """The same kinds of transforms, sizes and shares of them as Detectron2 itself draws."""

    def outcome(transform: T.Transform) -> np.ndarray:
        ones = np.full(IMAGE.shape, 100, np.uint8)
        ones[0, 0] = 50
        image = transform.apply_image(ones)
        kind = isinstance(transform, T.NoOpTransform)
        return np.array([*image.shape[:2], image.mean(), image[0, 0, 0], kind], float)

    number = 400
    generators = map(np.random.default_rng, range(number))
    drawn_ones = (draw_all([augmentation], IMAGE, g).transforms for g in generators)
    ours = np.array([outcome(transform) for (transform,) in drawn_ones])
    with numpy_seed(0):
        theirs = np.array([outcome(augmentation.get_transform(IMAGE)) for _ in range(number)])
    # Two means of 400 draws differ by so much in one of ten thousand cases.
    deviation = np.maximum(ours.std(axis=0), theirs.std(axis=0))
    tolerance = 4 * deviation * np.sqrt(2 / number) + 1e-6
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= tolerance).all()
    assert np.array_equal(ours.min(axis=0)[:2], theirs.min(axis=0)[:2])
    assert np.array_equal(ours.max(axis=0)[:2], theirs.max(axis=0)[:2])


def test_transforms_are_for_the_image_as_it_is_by_then() -> None:
    crop, resize = draw_all(USUAL, IMAGE, np.random.default_rng(0)).transforms[:2]
    assert (resize.h, resize.w) == (crop.h, crop.w)


def test_seed_is_borrowed() -> None:
    np.random.seed(1)
    expected = np.random.uniform(size=2)
    np.random.seed(1)
    first = np.random.uniform()
    with numpy_seed(9):
        inside = np.random.uniform()
    assert [first, np.random.uniform()] == expected.tolist()
    with numpy_seed(9):
        assert np.random.uniform() == inside
