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

from pcsc_d2.utils.stopping import leave

# Seconds for what a process was writing to be removed, before it is told again to end.
_PATIENCE = 2.0
# Times that a process is told to end before it is ended.
_TRIES = 10
# What the process that tidies up after killed ones would say, as the interpreter's option -W.
_LEAKED = "ignore:resource_tracker:UserWarning"


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
    _start_server()
    return context


def _start_server() -> None:
    """Start the server, if it does not run yet; what it forks is deaf as it is itself."""
    from multiprocessing import forkserver

    with deaf_children():
        forkserver.ensure_running()


@contextmanager
def deaf_children() -> Iterator[None]:
    """Let processes that are started in the block, which never fork, hear nothing of Ctrl-C.

    A terminal sends it to them too, and they would have a traceback each before they can ignore
    it. Nor do they say what a killed job did not tidy up.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    sys.warnoptions.append(_LEAKED)  # which the interpreters that are started take over
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        resource_tracker.ensure_running()  # lets signals through again where it was not running
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sys.warnoptions.remove(_LEAKED)


class _Pool(ProcessPoolExecutor):
    """Knows of every process that it has started, also where a signal comes meanwhile."""

    def _spawn_process(self) -> None:
        with signals_wait():
            super()._spawn_process()


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)


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
    pool = _Pool(processes, clean_start(modules), _begin, (prepare,))
    try:
        yield pool
    except BaseException as error:
        workers = list(pool._processes.values())
        with signals_wait():
            # Before the pool lets go of what it shares: one that still starts would look for it.
            for worker in workers:
                worker.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:  # what they share is there until they are gone
            worker.join(_PATIENCE)
        if isinstance(error, BrokenProcessPool):
            what = "a process that shared the work was killed (out of memory?)"
            raise ChildProcessError(f"{what}; run it again to go on") from error
        raise
    pool.shutdown()


def end_with_parent() -> None:
    """From now on, end this process once the one that started it is gone: killed, it cannot say."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    for _ in range(_TRIES):  # a pool takes an exit out of work for its result, and goes on
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)  # one that waits for others does not come to end itself


def _begin(prepare: Callable[[], object] | None) -> None:
    # A terminal sends Ctrl-C to all processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if prepare is not None:
        prepare()
    # Last: the pool logs an exit from here. What a worker was writing is removed as it ends.
    signal.signal(signal.SIGTERM, leave)
