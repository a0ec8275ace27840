"""Loading threads give what one thread gives; what cannot be read is skipped in testing."""

from __future__ import annotations

import logging
import threading
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

from pcsc_d2.data import (
    ClipMapper,
    ClipSampler,
    evaluation_loader,
    start_at,
    training_dicts,
    training_loader,
)
from pcsc_d2.engine import scheduled
from tests.tiny import tiny_config

VIDEOS = ["a"] * 5 + ["b"] * 3 + ["c"] * 4 + ["d"]


def config(workers: int, threads: bool, *options: object) -> CfgNode:
    loader = ["DATALOADER.NUM_WORKERS", workers, "DATALOADER.THREADS", threads]
    cfg = tiny_config([*loader, "INPUT.FLOW.CACHE", "none", "INPUT.MIN_SIZE_TRAIN", (32, 48)])
    cfg.merge_from_list([*options, "SOLVER.IMS_PER_BATCH", 2, "SEED", 3])
    cfg.DATASETS.TRAIN = ("synthetic_easy_train",)
    return cfg


def examples(cfg: CfgNode, start: int, batches: int) -> list[tuple]:
    loader = training_loader(cfg, training_dicts(cfg), ClipMapper(cfg, is_train=True))
    start_at(loader, start)
    stream = iter(loader)
    made = [x for batch in islice(stream, batches) for x in batch]
    del stream
    assert all(len(x) for x in made)
    return [(x["video_id"], x["frame_index"], x["rgb"], x["flow"]) for x in made]


def same(a: list[tuple], b: list[tuple]) -> bool:
    return all(
        x[:2] == y[:2] and torch.equal(x[2], y[2]) and torch.equal(x[3], y[3])
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("at_a_time", [0, 2])
@pytest.mark.parametrize(("workers", "threads"), [(1, True), (3, True), (2, False)])
def test_the_stream_is_the_same_however_it_is_loaded(
    workers: int, threads: bool, at_a_time: int, root: Path
) -> None:
    option = ("DATALOADER.VIDEOS_AT_A_TIME", at_a_time)
    whole = examples(config(0, False, *option), 0, 5)
    assert same(whole, examples(config(workers, threads, *option), 0, 5))
    assert same(whole[4:], examples(config(workers, threads, *option), 4, 3))


def test_threads_end_with_their_loader(root: Path) -> None:
    examples(config(2, True), 0, 1)
    assert not [t for t in threading.enumerate() if t.name.startswith("clips")]


def test_key_frames_of_a_few_videos_at_a_time() -> None:
    draws = list(islice(iter(ClipSampler(VIDEOS, 2, seed=4)), 39))
    assert [d // 13 for d in draws] == list(range(39))
    epochs = np.array([d % 13 for d in draws]).reshape(3, 13)
    assert (np.sort(epochs) == np.arange(13)).all()
    assert len({tuple(e) for e in epochs.tolist()}) == 3
    for epoch in epochs:
        order = list(dict.fromkeys(VIDEOS[i] for i in epoch))
        first = [VIDEOS[i] for i in epoch if VIDEOS[i] in order[:2]]
        # The first two videos come first, mixed, and then the other two.
        assert first == [VIDEOS[i] for i in epoch[: len(first)]]
    again = ClipSampler(VIDEOS, 2, seed=4)
    again.start = 20
    assert list(islice(again, 10)) == draws[20:30]


@pytest.mark.parametrize(("workers", "threads"), [(0, False), (1, False), (2, True)])
def test_unreadable_test_clips_are_skipped_and_counted(
    workers: int, threads: bool, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = config(workers, threads, "TEST.IMS_PER_BATCH", 1)
    dicts = training_dicts(cfg)[:6]
    for i in (1, 4):
        dicts[i] = dicts[i] | {"file_name": "absent.mp4"}
    loader = evaluation_loader(cfg, dicts, ClipMapper(cfg, is_train=False), "some_test")
    assert len(loader) == 6
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        found = [(x["video_id"], x["frame_index"]) for (x,) in loader]
    expected = [d for i, d in enumerate(dicts) if i not in (1, 4)]
    assert found == [(d["video_id"], d["frame_index"]) for d in expected]
    last = caplog.records[-1].getMessage()
    assert last.startswith("some_test: 2 clips could not be read and were skipped")


@pytest.mark.parametrize(("workers", "threads"), [(0, False), (2, True)])
def test_batches_are_of_one_video_from_its_beginning(
    workers: int, threads: bool, root: Path
) -> None:
    cfg = config(workers, threads, "TEST.IMS_PER_BATCH", 4)
    first, second, *_ = dict.fromkeys(d["video_id"] for d in training_dicts(cfg))
    of = {v: [d for d in training_dicts(cfg) if d["video_id"] == v] for v in (first, second)}
    dicts = of[first][:6] + of[second][:3]
    loader = evaluation_loader(cfg, dicts, ClipMapper(cfg, is_train=False), "some_test")
    found = [[(x["video_id"], x["frame_index"]) for x in batch] for batch in loader]
    assert [len(batch) for batch in found] == [4, 2, 3]
    assert len(loader) == 3
    assert [*chain(*found)] == [(d["video_id"], d["frame_index"]) for d in dicts]
    cfg.TEST.IMS_PER_BATCH = 0
    with pytest.raises(ValueError, match=r"TEST\.IMS_PER_BATCH is 0"):
        evaluation_loader(cfg, dicts, ClipMapper(cfg, is_train=False), "some_test")


def test_training_takes_no_epochs_that_are_not_iterations(root: Path) -> None:
    cfg = config(0, False)
    mapper = ClipMapper(cfg, is_train=True)
    cfg.SOLVER.EPOCHS = 6.0
    for refused in (
        lambda: ClipMapper(cfg, is_train=True),
        lambda: training_loader(cfg, training_dicts(cfg), mapper),
    ):
        with pytest.raises(ValueError, match=r"SOLVER\.EPOCHS is 6, .*scheduled\(cfg\)"):
            refused()
    assert scheduled(cfg).SOLVER.EPOCHS == 0
    ClipMapper(cfg, is_train=False)


def test_error_in_a_thread_is_raised(root: Path) -> None:
    cfg = config(2, True)

    def broken(*_: object) -> dict:
        raise RuntimeError("broken mapper")

    loader = evaluation_loader(cfg, training_dicts(cfg), broken, "some_test")
    with pytest.raises(RuntimeError, match="broken mapper"):
        list(loader)
