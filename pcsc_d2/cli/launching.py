"""Work of several processes, as Detectron2 or torchrun launches it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pcsc_d2.cli.outcome import INTERRUPTED, exit_status, fail
from pcsc_d2.utils.pools import deaf_children, end_with_parent, signals_wait

if TYPE_CHECKING:
    from torch.multiprocessing.spawn import ProcessContext

Work = Callable[[argparse.Namespace], object]
# Seconds within which the process that knows what is wrong has told it, and the others are ended.
_TURN = 20
# What torch says where the process at the other end of a connection has gone.
_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused")
# And where it has not answered for as long as a step may take.
_STALLED = ("Timed out waiting", "timeout caused pair closure", "Wait timeout")


def launched(work: Work, args: argparse.Namespace) -> int:
    """Do work in each process of a job; the exit status.

    Args:
        work: of each process; it can be found by its name in its module.
        args: of ``arguments.add_launch``, handed to it.

    Raises:
        ValueError: options that contradict each other or the machine.
    """
    from pcsc_d2.model_zoo import get_config
    from pcsc_d2.parallel import joining

    device = get_config(args.config_file, args.opts).MODEL.DEVICE
    if joining.started_by_torchrun():
        return _under_torchrun(work, args, device)
    check_device(device, args.num_gpus)
    if args.num_gpus * args.num_machines <= 1:
        work(args)
        return 0
    return _spawned(work, args, device)


def _spawned(work: Work, args: argparse.Namespace, device: str) -> int:
    """Do work in processes that this one starts and, if one of them ends, ends."""
    from torch.multiprocessing.spawn import ProcessExitedException

    # Of no use to the user: the one line that says why follows.
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    try:
        with _gpus_hidden(not device.startswith("cuda")), signals_wait(), deaf_children():
            processes = _start(work, args)
        while not processes.join():
            pass
    except ProcessExitedException as ended:
        if ended.signal_name is None:
            return ended.exit_code
        killed = f"process {ended.error_index} of {args.num_gpus} was ended by {ended.signal_name}"
        return fail(f"{killed} (out of memory?); --resume goes on")
    return 0


def _start(work: Work, args: argparse.Namespace) -> ProcessContext:
    """Start the processes as Detectron2's ``launch`` does, which also waits for them."""
    from detectron2.engine.launch import _find_free_port
    from torch import multiprocessing

    url = args.dist_url
    if url == "auto":
        if args.num_machines > 1:
            raise ValueError("--dist-url auto is for one machine: give the first one's address")
        url = f"tcp://127.0.0.1:{_find_free_port()}"
    ranks, limit = args.num_gpus * args.num_machines, timedelta(seconds=args.timeout)
    job = (ranks, args.num_gpus, args.machine_rank, url, (work, args), limit)
    return multiprocessing.start_processes(_rank, job, args.num_gpus, join=False)


def _rank(rank: int, *job: object) -> None:
    """What each process does; it ends once its parent is gone, who may have been killed."""
    from detectron2.engine.launch import _distributed_worker

    end_with_parent()
    _distributed_worker(rank, _in_a_process_of_its_own, *job)


def _under_torchrun(work: Work, args: argparse.Namespace, device: str) -> int:
    from pcsc_d2.parallel import joining

    if args.num_gpus * args.num_machines > 1:
        raise ValueError(
            "torchrun starts the processes: leave out --num-gpus and --num-machines, which it "
            "takes as --nproc-per-node and --nnodes"
        )
    check_device(device, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if joining.restarts():
        args.resume = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with joining.joined(device, timedelta(seconds=args.timeout)):
        _in_turn(work, args)
    return 0


def check_device(device: str, processes: int) -> None:
    """Look whether each process of this machine has a GPU, if it needs one."""
    import torch

    if not device.startswith("cuda"):
        return
    found = torch.cuda.device_count()
    if found == 0:
        raise ValueError(f"MODEL.DEVICE is {device} and there is no GPU: add MODEL.DEVICE cpu")
    if processes > found:
        raise ValueError(f"{processes} GPUs are asked for, and there are {found} on this machine")


@contextmanager
def _gpus_hidden(hidden: bool) -> Iterator[None]:
    """Let processes that are started here see no GPU: Detectron2 takes NCCL wherever there is one,
    which cannot send what is on the CPU."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        if hidden and before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        elif hidden:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _in_a_process_of_its_own(work: Work, args: argparse.Namespace) -> None:
    """The work of each process; Ctrl-C is for their parent, which ends them."""
    import torch

    from pcsc_d2.parallel import prepare_waiting

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not torch.cuda.is_available() and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // args.num_gpus))
    prepare_waiting()
    status = exit_status(partial(_in_turn, work, args), args.command)
    if status:
        sys.exit(status)


def _in_turn(work: Work, args: argparse.Namespace) -> None:
    """Do work; of processes that fail alike or because of another one, one tells it."""
    from detectron2.utils import comm

    try:
        work(args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        gone, stalled = (_says(error, words) for words in (_GONE, _STALLED))
        # The others are ended before they tell it, by the parent that sees the first one end.
        if gone or comm.get_local_rank() != 0:
            time.sleep(_TURN)
        if gone:
            raise ConnectionError(
                "another process of the job has gone, perhaps on another machine; --resume goes on"
            ) from error
        if stalled:
            limit = f"did not answer within {args.timeout:g} s (--timeout)"
            raise ConnectionError(
                f"another process of the job {limit}; --resume goes on"
            ) from error
        raise


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
