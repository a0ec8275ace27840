"""What every command does first: the config of its files and its command line."""

from __future__ import annotations

import argparse

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pcsc_d2 import data, evaluation, modeling  # noqa: F401  (registers what configs name)
from pcsc_d2.model_zoo import find_config, get_config


def setup(args: argparse.Namespace) -> CfgNode:
    """The config of the files and the command line, with logging and seeds set up.

    Args:
        args: of Detectron2's ``default_argument_parser``.
    """
    cfg = get_config(args.config_file, args.opts)
    cfg.freeze()
    # It copies the file.
    found = {"config_file": str(find_config(args.config_file))}
    default_setup(cfg, argparse.Namespace(**vars(args) | found))
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="pcsc_d2")
    return cfg
