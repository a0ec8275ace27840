"""Loaders of clips: threads that share one cache, or Detectron2's processes."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.context import BaseContext
from operator import itemgetter
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from pcsc_d2.config import require_iterations
from pcsc_d2.data.training_clips import ClipSampler, ResumableTrainingSampler, TrainingClips
from pcsc_d2.parallel import batch_of_rank
from pcsc_d2.utils.pools import clean_start

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


class VideoBatches:
    """The clips of a loader that are not None, some of a video at a time; others are counted and
    reported.

    A batch begins with each video, so that what comes of one depends on no other's clips.

    Args:
        loader: of batches of any size.
        videos: of all its clips, in their order.
        size: clips in a batch at most.
        name: of the dataset, in the report.
    """

    def __init__(
        self, loader: Iterable[list[dict | None]], videos: Sequence[str], size: int, name: str
    ) -> None:
        self._loader, self._size, self._name = loader, size, name
        self._clips = len(videos)
        self._batches = sum(-(-len([*of]) // size) for _, of in itertools.groupby(videos))

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[dict]]:
        read = 0
        clips = (x for x in itertools.chain.from_iterable(self._loader) if x is not None)
        for _, of_video in itertools.groupby(clips, key=itemgetter("file_name")):
            while batch := list(itertools.islice(of_video, self._size)):
                read += len(batch)
                yield batch
        if read < self._clips:
            logger.warning(
                "%s: %d clips could not be read and were skipped; their frames have no detections",
                self._name,
                self._clips - read,
            )


def training_loader(cfg: CfgNode, dicts: list[dict], mapper: Mapper) -> Iterable[list[dict]]:
    """``build_clip_train_loader`` as a config has it.

    Args:
        cfg: whose DATALOADER, SOLVER.IMS_PER_BATCH and SEED count.
        dicts, mapper: as there.

    Raises:
        ValueError: a batch that the ranks cannot share, or epochs that are not yet iterations.
    """
    require_iterations(cfg)
    node = cfg.DATALOADER
    return build_clip_train_loader(
        dicts,
        mapper,
        cfg.SOLVER.IMS_PER_BATCH,
        num_workers=node.NUM_WORKERS,
        threads=node.THREADS,
        videos_at_a_time=node.VIDEOS_AT_A_TIME,
        seed=cfg.SEED,
    )


def build_clip_train_loader(
    dataset: list[dict],
    mapper: Mapper,
    total_batch_size: int,
    num_workers: int = 4,
    threads: bool = True,
    videos_at_a_time: int = 0,
    seed: int = 1,
) -> Iterable[list[dict]]:
    """An endless stream of batches that can begin anywhere, see ``start_at``.

    Args:
        dataset: dicts of the key frames.
        mapper: as in ``TrainingClips``.
        total_batch_size: over all ranks.
        num_workers: threads or processes that load; 0 for none.
        threads: whether they are threads.
        videos_at_a_time: from so many videos key frames are drawn at a time; 0 for all.
        seed: of the order and of augmentations.

    Raises:
        ValueError: a batch that the ranks cannot share.
    """
    batch_size = batch_of_rank(total_batch_size, comm.get_world_size())
    clips = TrainingClips(dataset, mapper, seed)
    if videos_at_a_time > 0:
        videos = [d["file_name"] for d in dataset]
        sampler: ResumableTrainingSampler = ClipSampler(videos, videos_at_a_time, seed)
    else:
        sampler = ResumableTrainingSampler(len(dataset), seed=seed)
    if threads and num_workers > 0:
        return ThreadLoader(clips, sampler, batch_size, num_workers)
    return build_detection_train_loader(
        clips,
        mapper=None,
        sampler=sampler,
        total_batch_size=total_batch_size,
        # Grouping would hold clips back, and a resumed run could not know which.
        aspect_ratio_grouping=False,
        num_workers=num_workers,
        multiprocessing_context=_start(num_workers),
        # A loader without a seed takes one from the generator that the model draws from, in
        # its first iteration: another one in a resumed run.
        seed=seed,
    )


def _start(num_workers: int) -> BaseContext | None:
    return clean_start(["pcsc_d2.data"]) if num_workers > 0 else None


def start_at(loader: Iterable[list[dict]], position: int) -> None:
    """Let a training loader that has not begun start at a position of its stream, in clips."""
    holder = loader if isinstance(loader, ThreadLoader) else loader.dataset
    holder.sampler.start = position


def evaluation_loader(
    cfg: CfgNode, dicts: list[dict], mapper: Mapper, name: str, sampler: Sampler | None = None
) -> Iterable[list[dict]]:
    """``build_clip_test_loader`` as a config has it, in batches of TEST.IMS_PER_BATCH."""
    if cfg.TEST.IMS_PER_BATCH < 1:
        raise ValueError(f"TEST.IMS_PER_BATCH is {cfg.TEST.IMS_PER_BATCH}; at least 1")
    node = cfg.DATALOADER
    return build_clip_test_loader(
        dicts, mapper, name, cfg.TEST.IMS_PER_BATCH, node.NUM_WORKERS, node.THREADS, sampler
    )


def build_clip_test_loader(
    dataset: list[dict],
    mapper: Mapper,
    name: str = "test clips",
    batch_size: int = 1,
    num_workers: int = 4,
    threads: bool = True,
    sampler: Sampler | None = None,
) -> Iterable[list[dict]]:
    """Every key frame of this rank's share once, in order; those that cannot be read left out.

    Args:
        dataset: dicts of the key frames.
        mapper: makes model inputs of them.
        name: of the dataset, in messages.
        batch_size: key frames of one video in a batch; the last of a video may have fewer.
        num_workers, threads: as in ``build_clip_train_loader``.
        sampler: of indices into ``dataset``; None shares them among the ranks.
    """
    clips, sampler = EvaluationClips(dataset, mapper), sampler or InferenceSampler(len(dataset))
    videos = [dataset[i]["file_name"] for i in sampler]
    if threads and num_workers > 0:
        loader = ThreadLoader(clips, sampler, batch_size, num_workers)
    else:
        # As Detectron2's loader, which cannot be told how to start processes.
        loader = DataLoader(
            clips,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=trivial_batch_collator,
            multiprocessing_context=_start(num_workers),
        )
    return VideoBatches(loader, videos, batch_size, name)
