"""Work that runs on every GPU, as Detectron2 launches it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from pcsc_d2.cli.outcome import INTERRUPTED, exit_status

Work = Callable[[argparse.Namespace], object]
# Seconds within which the first process has told what is wrong, and the others are ended.
_TURN = 20


def launched(work: Work, args: argparse.Namespace) -> int:
    """Do work in a process for each GPU; the exit status.

    Args:
        work: of each process; it can be found by its name in its module.
        args: of ``arguments.add_launch``, handed to it.
    """
    if args.num_gpus * args.num_machines <= 1:
        work(args)
        return 0
    _check(args)
    from detectron2.engine import launch
    from torch.multiprocessing.spawn import ProcessExitedException

    try:
        launch(
            _in_a_process_of_its_own,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(work, args),
        )
    except ProcessExitedException as ended:
        return ended.exit_code
    return 0


def _check(args: argparse.Namespace) -> None:
    """Look for options that contradict each other, before work starts on them."""
    import torch

    from pcsc_d2.model_zoo import get_config

    device = get_config(args.config_file, args.opts).MODEL.DEVICE
    if not device.startswith("cuda"):
        raise ValueError(
            f"several GPUs are asked for and the config says MODEL.DEVICE {device}: leave out "
            "--num-gpus, or add MODEL.DEVICE cuda"
        )
    found = torch.cuda.device_count()
    if args.num_gpus > found:
        raise ValueError(f"--num-gpus {args.num_gpus}: there are {found} on this machine")


def _in_a_process_of_its_own(work: Work, args: argparse.Namespace) -> None:
    """What each process does; Ctrl-C is for their parent, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = exit_status(partial(_in_turn, work, args), args.command)
    if status:
        sys.exit(status)


def _in_turn(work: Work, args: argparse.Namespace) -> None:
    from detectron2.utils import comm

    try:
        work(args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception:
        # All fail alike as a rule: the first tells it, and the others are ended before they do.
        if comm.get_local_rank() != 0:
            time.sleep(_TURN)
        raise
