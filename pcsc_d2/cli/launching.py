"""Work of several processes, which this one or torchrun starts."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pcsc_d2.cli.outcome import INTERRUPTED, exit_status, fail
from pcsc_d2.utils.pools import deaf_children, end_with_parent, signals_wait

if TYPE_CHECKING:
    from torch.multiprocessing.spawn import ProcessContext

    from pcsc_d2.parallel import Place

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
    from pcsc_d2.parallel import started_by_torchrun

    device = get_config(args.config_file, args.opts).MODEL.DEVICE
    if started_by_torchrun():
        return _under_torchrun(work, args, device)
    if args.machine_rank >= args.num_machines:
        raise ValueError(
            f"--machine-rank {args.machine_rank}: of --num-machines {args.num_machines} the last "
            f"is {args.num_machines - 1}"
        )
    check_device(device, args.num_gpus)
    if args.num_gpus * args.num_machines <= 1:
        work(args)
        return 0
    return _spawned(work, args, device)


def _spawned(work: Work, args: argparse.Namespace, device: str) -> int:
    """Do work in processes that this one starts and, if one of them ends, ends."""
    from torch.multiprocessing.spawn import ProcessExitedException

    # Of no use to the user: the one line that says why follows. The second is for the processes,
    # one of which may wait for another that has ended.
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        with signals_wait(), deaf_children():
            processes = _start(work, args, device)
        while not processes.join():
            pass
    except ProcessExitedException as ended:
        if ended.signal_name is None:
            return ended.exit_code
        killed = f"process {ended.error_index} of {args.num_gpus} was ended by {ended.signal_name}"
        return fail(f"{killed} (out of memory?); --resume goes on")
    return 0


def _start(work: Work, args: argparse.Namespace, device: str) -> ProcessContext:
    """Start the processes of this machine.

    Detectron2's ``launch`` would wait for them here, where Ctrl-C is not heard, and they would not
    notice before they have met that this process is gone.
    """
    from torch import multiprocessing

    url = args.dist_url
    if url == "auto":
        if args.num_machines > 1:
            raise ValueError("--dist-url auto is for one machine: give the first one's address")
        url = f"tcp://127.0.0.1:{_free_port()}"
    job = (url, work, args, device)
    return multiprocessing.start_processes(_rank, job, args.num_gpus, join=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _rank(local: int, url: str, work: Work, args: argparse.Namespace, device: str) -> None:
    """What each process does; it ends once its parent is gone, who may have been killed."""
    import torch

    from pcsc_d2.parallel import Place

    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends them
    here = args.num_gpus
    if not device.startswith("cuda") and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))
    place = Place(args.machine_rank * here + local, here * args.num_machines, local, here, url)
    status = exit_status(partial(_joined, place, work, args, device), args.command)
    if status:
        sys.exit(status)


def _joined(place: Place, work: Work, args: argparse.Namespace, device: str) -> None:
    from pcsc_d2.parallel import joined

    with joined(place, device, timedelta(seconds=args.timeout)):
        _in_turn(work, args)


def _under_torchrun(work: Work, args: argparse.Namespace, device: str) -> int:
    from pcsc_d2.parallel import Place, local_world_size, restarts

    if args.num_gpus * args.num_machines > 1:
        raise ValueError(
            "torchrun starts the processes: leave out --num-gpus and --num-machines, which it "
            "takes as --nproc-per-node and --nnodes"
        )
    check_device(device, local_world_size())
    if restarts():
        args.resume = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _joined(Place.of_environment(), work, args, device)
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


def _in_turn(work: Work, args: argparse.Namespace) -> None:
    """Do work; one that is ended by its parent, be it while it waits for its turn, says nothing."""
    try:
        _told_by_one(work, args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _told_by_one(work: Work, args: argparse.Namespace) -> None:
    """Do work; of processes that fail alike or because of another one, one tells it."""
    from detectron2.utils import comm

    try:
        work(args)
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
