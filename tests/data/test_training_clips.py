"""The training stream: the same examples however it is reached."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from detectron2.data import build_detection_train_loader

from pcsc_d2.data import ResumableTrainingSampler, TrainingClips
from pcsc_d2.data.drawing import numpy_seed
from pcsc_d2.data.training_clips import ATTEMPTS
from pcsc_d2.utils.pools import clean_start

DICTS = [{"name": i, "file_name": f"{i}.mp4"} for i in range(7)]


def drawing_mapper(clip: dict, seed: int) -> dict:
    """Draw like an augmentation, from NumPy's global generator."""
    with numpy_seed(seed):
        return {"name": clip["name"], "drawn": np.random.uniform()}


def partly_unreadable(clip: dict, seed: int) -> dict | None:
    return None if clip["name"] in (2, 5) else drawing_mapper(clip, seed)


def unreadable(clip: dict, seed: int) -> None:
    return None


def sampler(start: int = 0, rank: int = 0, ranks: int = 1) -> ResumableTrainingSampler:
    made = ResumableTrainingSampler(len(DICTS), seed=5)
    made.start, made._rank, made._world_size = start, rank, ranks
    return made


def stream(
    start: int, count: int, workers: int = 0, mapper: object = drawing_mapper, seed: int = 5
) -> list[dict]:
    """The first examples that training sees, in batches of 2, from a position on."""
    loader = build_detection_train_loader(
        TrainingClips(DICTS, mapper, seed),
        mapper=None,
        sampler=sampler(start),
        total_batch_size=2,
        aspect_ratio_grouping=False,
        num_workers=workers,
        multiprocessing_context=clean_start(["pcsc_d2.data"]) if workers else None,
    )
    return [example for batch in islice(loader, count // 2) for example in batch]


def test_positions_go_on_over_the_epochs() -> None:
    drawn = list(islice(sampler(), 21))
    assert [d // 7 for d in drawn] == list(range(21))
    epochs = np.array([d % 7 for d in drawn]).reshape(3, 7)
    assert (np.sort(epochs, axis=1) == np.arange(7)).all()
    assert len(np.unique(epochs, axis=0)) == 3


@pytest.mark.parametrize("start", [1, 7, 12])
def test_sampler_started_later_goes_on_as_if_it_had_been_there(start: int) -> None:
    assert list(islice(sampler(start), 10)) == list(islice(sampler(), start, start + 10))


def test_ranks_share_the_stream() -> None:
    parts = [list(islice(sampler(4, rank, 2), 5)) for rank in (0, 1)]
    assert [d for pair in zip(*parts) for d in pair] == list(islice(sampler(4), 10))


def test_examples_depend_on_the_position_alone() -> None:
    whole = stream(0, 16)
    assert stream(6, 10) == whole[6:]
    assert stream(0, 16, seed=6) != whole
    assert len({example["drawn"] for example in whole}) == 16


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_loading_processes_changes_nothing(workers: int) -> None:
    assert stream(4, 12, workers) == stream(4, 12)


def test_unreadable_clips_are_replaced_alike_in_every_run() -> None:
    whole = stream(0, 16, mapper=partly_unreadable)
    assert {example["name"] for example in whole} <= {0, 1, 3, 4, 6}
    assert stream(6, 10, mapper=partly_unreadable) == whole[6:]
    readable = stream(0, 16)
    same = [a == b for a, b in zip(whole, readable) if b["name"] not in (2, 5)]
    assert all(same)
    assert 0 < len(same) < 16


def test_dataset_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=rf"{ATTEMPTS} clips.*\d\.mp4"):
        TrainingClips(DICTS, unreadable, 0)[3]
