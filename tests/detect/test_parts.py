"""The parts by themselves: threads, times, windows, sizes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from pcsc_d2.detect.archive.report import Outcome, Report
from pcsc_d2.detect.clips import ResizedFrame, network_size, windows
from pcsc_d2.detect.profile import Profile
from pcsc_d2.utils.background import background
from pcsc_d2.video import clip_indices, flow_indices


def counting(limit: int, log: list[int]) -> Iterator[int]:
    try:
        for i in range(limit):
            log.append(i)
            yield i
    finally:
        log.append(-1)


def test_background_keeps_items_and_order() -> None:
    assert list(background(range(1000), 3)) == list(range(1000))
    assert list(background(iter(()), 3)) == []


def test_background_runs_ahead_no_further_than_told() -> None:
    log: list[int] = []
    items = background(counting(100, log), 3)
    assert next(items) == 0
    time.sleep(0.2)
    assert len(log) <= 5  # the one handed over, three that wait, one in hand
    items.close()
    assert log[-1] == -1


def test_background_ends_chains() -> None:
    before, log = threading.active_count(), []
    chain = background(background(background(counting(100, log), 2), 2), 2)
    assert next(chain) == 0
    chain.close()
    assert threading.active_count() == before
    assert log[-1] == -1


def test_background_raises_where_the_error_was() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the second is broken")

    items = background(background(broken(), 4), 4)
    assert next(items) == 1
    with pytest.raises(ValueError, match="the second is broken"):
        next(items)


def test_profile_counts_work_and_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr("time.thread_time", lambda: now / 10)
    profile = Profile()

    def slow() -> Iterator[int]:
        for i in range(4):
            work(5)
            yield i

    def worked() -> Iterator[int]:
        for i in profile.waiting(slow()):
            with profile.part("inner"):
                work(2)
            work(1)
            yield i

    assert list(profile.timed("outer", worked())) == [0, 1, 2, 3]
    outer, inner = profile.parts["outer"], profile.parts["inner"]
    assert (outer.items, inner.items) == (4, 4)
    assert (outer.seconds, inner.seconds) == (4, 8)
    assert (outer.cpu, inner.cpu) == pytest.approx((0.4, 0.8))
    assert "waiting" not in profile.table()


def resized(count: int) -> Iterator[ResizedFrame]:
    for i in range(count):
        flow = np.full((2, 4, 6), min(i, max(count - 2, 0)), np.float32)
        yield ResizedFrame(i + 1, i / 25, (8, 12), np.full((3, 4, 6), i % 256, np.uint8), flow)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.parametrize("length", [1, 4, 5])
@pytest.mark.parametrize(("every", "batch"), [(1, 1), (1, 6), (3, 4), (11, 4)])
def test_windows_hold_the_clips_of_training(
    count: int, length: int, every: int, batch: int
) -> None:
    seen = []
    for window in windows(resized(count), length, every, batch):
        assert window.rgb.shape[1] == window.flow.shape[1]
        for position, number in zip(window.key_frames, window.numbers):
            part = slice(position - length // 2, position - length // 2 + length)
            indices = clip_indices(number, length, count)
            assert window.rgb[0, part, 0, 0].tolist() == indices.tolist()
            assert window.flow[0, part, 0, 0].tolist() == flow_indices(indices, count).tolist()
            seen.append(number)
    assert seen == sorted({*range(1, count + 1, every), count})


def test_windows_of_far_key_frames_stay_small() -> None:
    widths = [window.rgb.shape[1] for window in windows(resized(1000), 16, 100, 32)]
    assert set(widths) == {16}


@pytest.mark.parametrize("size", [(240, 320), (321, 240), (1080, 1920), (97, 131), (50, 333)])
@pytest.mark.parametrize(("shortest", "longest"), [(96, 400), (240, 400), (256, 300), (0, 400)])
def test_sizes_are_detectron2s(size: tuple[int, int], shortest: int, longest: int) -> None:
    transforms = pytest.importorskip("detectron2.data.transforms")
    augmentation = transforms.ResizeShortestEdge([shortest, shortest], longest, "range")
    image = np.zeros((*size, 3), np.uint8)
    wanted = augmentation.get_transform(image).apply_image(image).shape[:2]
    assert network_size(size, shortest, longest) == wanted


def test_report_says_how_many_tubes_are_where() -> None:
    tubes = {"a.mp4": Counter(run=2, jump=1), "b.mp4": Counter(), "c.mp4": Counter(run=1)}
    report = Report()
    for name, classes in tubes.items():
        report.add(Outcome(name, "before" if name == "c.mp4" else "done", classes))
    report.add(Outcome("d.mp4", "failed", {}, "d.mp4: no such video"))
    assert list(report.lines()) == [
        "a.mp4: 3 tubes (run 2, jump 1)",
        "b.mp4: 0 tubes",
        "c.mp4: 1 tube (run 1)",
        "2 done, 1 were done before, 1 with problems:",
        "  d.mp4: no such video",
    ]
    many = Report()
    for i in range(25):
        many.add(Outcome(str(i), "done", {"run": i}))
    lines = list(many.lines())
    assert (len(lines), lines[20]) == (22, "5 more videos: 110 tubes")
