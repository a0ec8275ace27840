"""Loaders of clips: threads that share one cache, or Detectron2's processes."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import Dataset, Sampler

from pcsc_d2.data.training_clips import ClipSampler, ResumableTrainingSampler, TrainingClips
from pcsc_d2.parallel import batch_of_rank

logger = logging.getLogger(__name__)

Mapper = Callable[..., "dict | None"]
# Batches that are made ahead of the one in use.
_AHEAD = 2


class ThreadLoader:
    """Batches of a dataset in a sampler's order, made ahead by threads of this process.

    Decoding and putting clips together leave the interpreter free, so that threads share the work
    as processes would; what they make need not be copied from process to process.

    Args:
        dataset: gives examples by index, from several threads at once.
        sampler: of indices, endless or not.
        batch_size: examples in a batch; the last may have fewer.
        threads: 1 or more.
    """

    def __init__(self, dataset: Dataset, sampler: Sampler, batch_size: int, threads: int) -> None:
        self.dataset, self.sampler = dataset, sampler
        self.batch_size, self.threads = batch_size, threads

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[list[Any]]:
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="clips")
        made: deque[Future] = deque()
        indices = iter(self.sampler)
        try:
            while True:
                wanted = (1 + _AHEAD) * self.batch_size - len(made)
                made.extend(
                    pool.submit(self.dataset.__getitem__, i)
                    for i in itertools.islice(indices, wanted)
                )
                if not made:
                    return
                yield [made.popleft().result() for _ in range(min(self.batch_size, len(made)))]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class EvaluationClips(Dataset):
    """Dataset dicts to model inputs; None for a clip that cannot be read."""

    def __init__(self, dicts: list[dict], mapper: Mapper) -> None:
        self._dicts, self._mapper = DatasetFromList(dicts, copy=False), mapper

    def __len__(self) -> int:
        return len(self._dicts)

    def __getitem__(self, index: int) -> dict | None:
        return self._mapper(self._dicts[index])


class ReadableBatches:
    """The batches of a loader without the clips that are None, which are counted and reported."""

    def __init__(self, loader: Iterable[list[dict | None]] | Sized, name: str) -> None:
        self._loader, self._name = loader, name

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[list[dict]]:
        skipped = 0
        for batch in self._loader:
            readable = [example for example in batch if example is not None]
            skipped += len(batch) - len(readable)
            if readable:
                yield readable
        if skipped:
            logger.warning(
                "%s: %d clips could not be read and were skipped; their frames have no detections",
                self._name,
                skipped,
            )


def training_loader(cfg: CfgNode, dicts: list[dict], mapper: Mapper) -> Iterable[list[dict]]:
    """An endless stream of batches that can begin anywhere, see ``start_at``.

    Args:
        cfg: whose DATALOADER, SOLVER.IMS_PER_BATCH (over all ranks) and SEED count.
        dicts: the key frames.
        mapper: as in ``TrainingClips``.

    Raises:
        ValueError: a batch that the ranks cannot share.
    """
    batch_size = batch_of_rank(cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size())
    clips = TrainingClips(dicts, mapper, cfg.SEED)
    node = cfg.DATALOADER
    if node.VIDEOS_AT_A_TIME > 0:
        videos = [d["file_name"] for d in dicts]
        sampler: ResumableTrainingSampler = ClipSampler(videos, node.VIDEOS_AT_A_TIME, cfg.SEED)
    else:
        sampler = ResumableTrainingSampler(len(dicts), seed=cfg.SEED)
    if node.THREADS and node.NUM_WORKERS > 0:
        return ThreadLoader(clips, sampler, batch_size, node.NUM_WORKERS)
    return build_detection_train_loader(
        clips,
        mapper=None,
        sampler=sampler,
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        # Grouping would hold clips back, and a resumed run could not know which.
        aspect_ratio_grouping=False,
        num_workers=node.NUM_WORKERS,
        # A loader without a seed takes one from the generator that the model draws from, in
        # its first iteration: another one in a resumed run.
        seed=cfg.SEED,
    )


def start_at(loader: Iterable[list[dict]], position: int) -> None:
    """Let a training loader that has not begun start at a position of its stream, in clips."""
    holder = loader if isinstance(loader, ThreadLoader) else loader.dataset
    holder.sampler.start = position


def evaluation_loader(
    cfg: CfgNode, dicts: list[dict], mapper: Mapper, name: str, sampler: Sampler | None = None
) -> Iterable[list[dict]]:
    """Every key frame of this rank's share once, in order; those that cannot be read left out.

    Args:
        name: of the dataset, in messages.
        sampler: of indices into ``dicts``; None shares them among the ranks.
    """
    clips, threads = EvaluationClips(dicts, mapper), cfg.DATALOADER.NUM_WORKERS
    sampler = sampler or InferenceSampler(len(clips))
    if cfg.DATALOADER.THREADS and threads > 0:
        return ReadableBatches(ThreadLoader(clips, sampler, 1, threads), name)
    loader = build_detection_test_loader(clips, mapper=None, sampler=sampler, num_workers=threads)
    return ReadableBatches(loader, name)
