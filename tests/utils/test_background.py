"""Chains of threads end wherever one of them fails, and tell what failed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from pcsc_d2.utils.background import background


class BrokenError(Exception):
    pass


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def stage(items: Iterator[int], fails_at: int | None, slow: float) -> Iterator[int]:
    with closing(items):
        for number, item in enumerate(items):
            if number == fails_at:
                raise BrokenError(number)
            time.sleep(slow)
            yield item
        if fails_at == -1:
            raise BrokenError(-1)


@pytest.mark.parametrize("seed", range(25))
def test_ends_wherever_a_thread_fails(seed: int) -> None:
    """A chain of 1 to 4 threads; one of its stages, or the consumer, fails at some item."""
    rng = random.Random(seed)
    length, depth = rng.randint(0, 12), rng.randint(1, 4)
    failing = rng.randrange(depth + 2)
    at = rng.choice([-1, 0, rng.randint(0, 12)])
    before = threading.active_count()
    items: Iterator[int] = numbers(length)
    for place in range(depth):
        fails_at = at if place == failing else None
        items = background(stage(items, fails_at, rng.choice([0, 0.001])), rng.randint(1, 3))
    outcome: list[object] = []

    def consume() -> None:
        got = 0
        try:
            for item in items:
                assert item == got
                got += 1
                if failing == depth and got == at:
                    raise BrokenError(got)
        except BrokenError:
            outcome.append("failed")
        else:
            outcome.append(got)
        finally:
            items.close()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    consumer.join(10)
    assert not consumer.is_alive(), "hangs"
    reached = failing < depth and (at == -1 or at < length)
    stopped = failing == depth and 1 <= at <= length
    assert outcome == ["failed" if reached or stopped else length]
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
