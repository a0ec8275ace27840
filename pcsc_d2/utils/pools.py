"""Processes that share work, and leave Ctrl-C to the one that started them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext

# Seconds between looks at whether the parent is still there.
_LOOK = 0.5


@contextmanager
def process_pool(
    processes: int, context: BaseContext | None = None, prepare: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool whose work that has not begun is dropped when the block fails or is interrupted.

    Args:
        processes: their number.
        context: how they are started; None takes the platform's way.
        prepare: is called first in each.
    """
    pool = ProcessPoolExecutor(processes, context, _begin, (prepare,))
    try:
        yield pool
    except BaseException:
        workers = list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
    pool.shutdown()


def _end_with(parent: int) -> None:
    """End this process, in order, once the one that started it is gone: killed, it cannot say."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)


def _begin(prepare: Callable[[], object] | None) -> None:
    # A terminal sends Ctrl-C to all processes; what a worker was writing is removed as it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if prepare is not None:
        prepare()
