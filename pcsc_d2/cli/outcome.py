"""How a subcommand ends: what went wrong in one line, and the exit status."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pcsc_d2.cli.registry import COMMANDS
from pcsc_d2.utils.extras import missing_package
from pcsc_d2.utils.parsing import is_ours
from pcsc_d2.utils.programs import end_programs
from pcsc_d2.utils.progress import between_bars, close_bars
from pcsc_d2.utils.stopping import interrupt, is_interrupted, told_again

FINE, PROBLEMS, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
# A variable with which errors of the user have their traceback, too.
TRACEBACK = "PCSC_TRACEBACK"


@told_again()
def exit_status(work: Callable[[], int | None], command: str) -> int:
    """Do the work of a subcommand; its exit status, with one line on standard error if it fails.

    Errors of the user, missing packages and Ctrl-C (or SIGTERM) are such lines; every other
    exception is a fault of the program and is raised.

    Args:
        work: returns the status, or None for 0.
        command: its name.
    """
    try:
        with _interruptible(), _plain_warnings():
            return work() or FINE
    except KeyboardInterrupt as stop:
        _end_children()
        close_bars()
        _say(": ".join(["interrupted", *map(str, stop.args)]))
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PROBLEMS
    except ImportError as error:
        line = missing_package(error, f"pcsc {command}", COMMANDS[command].extra)
        if line is None:
            raise
        return fail(line)
    except (ValueError, OSError) as error:
        # An error of the system is about a file or device that the user named, and a ValueError of
        # this package is a check of it; one that other libraries raise is a fault of the program.
        if not isinstance(error, OSError) and not is_ours(error):
            raise
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return fail(_reason(error))


def fail(reason: object) -> int:
    """Say what the user has to mend, in one line; the exit status for it."""
    close_bars()
    # Libraries put several lines into an error.
    _say(f"error: {' '.join(str(reason).splitlines())}")
    return UNUSABLE


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    """An error's text; of the system's errors the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM acts as Ctrl-C; that is ignored where it was, as in a shell's background jobs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, interrupt)
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if is_interrupted():  # a library made an error of its own of it
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """This package's warnings in a line each; those of libraries mean nothing to the user."""

    def show(message: Warning | str, category: type, filename: str, *_: object) -> None:
        if os.path.dirname(filename).startswith(_PACKAGE):
            with between_bars():
                _say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _end_children() -> None:
    """End the processes that this one has started, which may not have seen the signal."""
    end_programs()
    for child in multiprocessing.active_children():
        child.terminate()
        child.join(timeout=5)
        if child.is_alive():
            child.kill()
