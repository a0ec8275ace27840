"""What every command does first: the config of its files and its command line."""

from __future__ import annotations

import argparse
import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger

from pcsc_d2 import data, evaluation, modeling  # noqa: F401  (registers what configs name)
from pcsc_d2.engine.checkpointing import require_weights
from pcsc_d2.engine.ignored_keys import ignored_keys
from pcsc_d2.engine.schedule import settle
from pcsc_d2.model_zoo import get_config
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line

logger = logging.getLogger(__name__)
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


def setup(args: argparse.Namespace) -> CfgNode:
    """The config of the files and the command line, with logging and seeds set up.

    Args:
        args: of Detectron2's ``default_argument_parser``.

    Raises:
        ValueError: a dataset is not there, or does not fit the model.
        FileNotFoundError: weights that it names are not there.
    """
    cfg = get_config(args.config_file, args.opts)
    if not cfg.OUTPUT_DIR.strip():
        raise ValueError("OUTPUT_DIR is empty: name the folder that the run writes to")
    settled = settle(cfg, args.opts)
    cfg.freeze()
    # Before Detectron2 prints hundreds of lines, under which an error is lost.
    data.register_custom_datasets()
    data.check_datasets(cfg)
    require_weights(cfg, getattr(args, "resume", False))
    _log(cfg, args)
    for line in settled:
        logger.info("%s", line)
    for line in ignored_keys(cfg):
        logger.warning("%s", line)
    save_config(cfg)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    _set_up_torch(cfg, getattr(args, "eval_only", False))
    return cfg


@contextmanager
def writing_to(folder: str) -> Iterator[None]:
    """Name the folder in errors of its disk that name no file, as those of logs and metrics.

    What goes wrong after such an error, as Detectron2's hooks end the training, is not told.
    """
    try:
        yield
    except Exception as error:
        disk = _disk_error(error)
        if disk is None:
            raise
        if disk.filename is None:
            disk.filename = folder
        raise disk from None


@contextmanager
def naming_divergence() -> Iterator[None]:
    """Say in one line that losses or boxes have become infinite or NaN, and what helps."""
    try:
        yield
    except FloatingPointError as error:
        raise ValueError(
            f"training has diverged ({one_line(error)}): a lower SOLVER.BASE_LR or more "
            "SOLVER.WARMUP_ITERS help; --resume goes on from the last checkpoint"
        ) from error


def _disk_error(error: BaseException | None) -> OSError | None:
    while error is not None and not (isinstance(error, OSError) and error.errno in _OF_DISKS):
        error = error.__context__
    return error


def save_config(cfg: CfgNode) -> None:
    """Write the config that is used to ``OUTPUT_DIR``."""
    if comm.is_main_process():
        with atomic_write(Path(cfg.OUTPUT_DIR, "config.yaml"), "w") as file:
            file.write(cfg.dump())


def _log(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Log to ``OUTPUT_DIR``, beginning with what runs where, as Detectron2's ``default_setup``,
    which is not called because it writes ``config.yaml`` in place."""
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    rank = comm.get_rank()
    for name in ("fvcore", "pcsc_d2"):
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank, name=name)
    # It logs every error with its traceback; of what the user has to mend, a line follows.
    logging.getLogger("detectron2.engine.train_loop").addFilter(_is_a_fault)
    detectron2 = setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank)
    detectron2.info("Rank of current process: %d. World size: %d", rank, comm.get_world_size())
    detectron2.info("Environment info:\n%s", collect_env_info())
    detectron2.info("Command line arguments: %s", args)
    detectron2.info("Running with full config:\n%s", cfg.dump())


def _is_a_fault(record: logging.LogRecord) -> bool:
    told = (OSError, FloatingPointError)
    return not (record.exc_info and isinstance(record.exc_info[1], told))


def _set_up_torch(cfg: CfgNode, eval_only: bool) -> None:
    if not eval_only:
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    precision = cfg.get("FLOAT32_PRECISION", "")
    if precision and torch.cuda.is_available():
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision != "highest"
