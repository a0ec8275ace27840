"""Processes that share work, and leave Ctrl-C to the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext

# Seconds for what a process was writing to be removed, before it is told again to end.
_PATIENCE = 2.0


def clean_start(modules: Sequence[str]) -> BaseContext:
    """How processes are started: never as a fork of this one.

    A fork has the locks of threads that it does not have (of torch, an engine, OpenCV), and waits
    for them without end or crashes. A server without threads is forked instead, where there is
    such a thing; so a script that starts processes needs ``if __name__ == "__main__"``.

    Args:
        modules: that the server imports, if it does not run yet, so that each process need not.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*modules])
    return context


@contextmanager
def process_pool(
    processes: int, modules: Sequence[str] = (), prepare: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool whose work that has not begun is dropped when the block fails or is interrupted.

    Args:
        processes: their number.
        modules: that the work needs, see ``clean_start``.
        prepare: is called first in each.

    Raises:
        ChildProcessError: one of them was killed.
    """
    pool = ProcessPoolExecutor(processes, clean_start(modules), _begin, (prepare,))
    try:
        yield pool
    except BaseException as error:
        workers = list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        if isinstance(error, BrokenProcessPool):
            what = "a process that shared the work was killed (out of memory?)"
            raise ChildProcessError(f"{what}; run it again to go on") from error
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    """End this process, in order, once the one that started it is gone: killed, it cannot say."""
    multiprocessing.parent_process().join()
    while True:  # the pool takes an exit out of work for its result, and goes on to the next
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)


def _begin(prepare: Callable[[], object] | None) -> None:
    # A terminal sends Ctrl-C to all processes; what a worker was writing is removed as it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()
