"""A training stream of clips that goes on exactly where an interrupted run stopped.

Detectron2's sampler begins its shuffle anew after a resume, and its augmentations draw from the
loading process's own generator. Here the stream has positions: the sampler can start at any of
them, and what a mapper draws depends on the seed and the position alone, so neither an
interruption nor the number of loading processes changes a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from detectron2.data import DatasetFromList
from detectron2.data.samplers import TrainingSampler
from torch.utils.data import Dataset

ATTEMPTS = 100


class ResumableTrainingSampler(TrainingSampler):
    """Detectron2's shuffle, yielding ``position * size + index``, from position ``start`` on."""

    start = 0

    def __iter__(self) -> Iterator[int]:
        stream = enumerate(self._infinite_indices())
        first = self.start + self._rank
        for position, index in itertools.islice(stream, first, None, self._world_size):
            yield position * self._size + index


class TrainingClips(Dataset):
    """Maps dataset dicts to model inputs, drawing from the stream position's own generator.

    Args:
        dicts: dataset dicts in Detectron2's format.
        mapper: (dict, seed of what it draws) -> model input, or None for a clip that cannot be
            read; then a clip drawn by the same generator takes its place.
        seed: of the whole run.
    """

    def __init__(
        self, dicts: list[dict], mapper: Callable[[dict, int], dict | None], seed: int
    ) -> None:
        self._dicts = DatasetFromList(dicts, copy=False)
        self._mapper = mapper
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dicts)

    def __getitem__(self, draw: int) -> dict:
        position, index = divmod(draw, len(self))
        generator = np.random.default_rng([self._seed, position])
        for _ in range(ATTEMPTS):
            example = self._mapper(self._dicts[index], int(generator.integers(2**32)))
            if example is not None:
                return example
            index = int(generator.integers(len(self)))
        raise RuntimeError(
            f"{ATTEMPTS} clips in a row could not be read, the last of "
            f"{self._dicts[index]['file_name']}; check the dataset before training"
        )


class ClipSampler(ResumableTrainingSampler):
    """Key frames of a few videos at a time, so that their decoded frames are used again.

    The videos are shuffled and dealt into groups; the key frames of a group are shuffled. An
    epoch still has every key frame once, and a batch still mixes videos and moments.

    Args:
        videos: of each key frame, its video.
        at_a_time: videos in a group.
        seed: of the whole run.
    """

    def __init__(self, videos: Sequence[Hashable], at_a_time: int, seed: int) -> None:
        super().__init__(len(videos), seed=seed)
        numbers: dict[Hashable, int] = {}
        self._video = np.array([numbers.setdefault(v, len(numbers)) for v in videos])
        self._at_a_time = at_a_time

    def _infinite_indices(self) -> Iterator[int]:
        generator = np.random.default_rng(self._seed)
        while True:
            place = generator.permutation(self._video.max() + 1)
            group = place[self._video] // self._at_a_time
            yield from np.lexsort([generator.random(self._size), group]).tolist()
