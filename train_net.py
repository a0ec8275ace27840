#!/usr/bin/env python
"""Train or evaluate a two-stream action detector.

    train_net.py --config-file configs/jhmdb/quick.yaml
    train_net.py --config-file configs/jhmdb/quick.yaml --eval-only MODEL.WEIGHTS output/model.pth

Any config key can be overridden at the end of the line: KEY VALUE KEY VALUE ...
"""

from __future__ import annotations

import argparse

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import default_argument_parser, launch

from pcsc_d2.data import check_datasets, precompute_flow, register_custom_datasets
from pcsc_d2.engine import Trainer, setup


def main(args: argparse.Namespace) -> dict | None:
    """Train, or with ``--eval-only`` evaluate; the scores, where there are any to return."""
    cfg = setup(args)
    names = cfg.DATASETS.TEST if args.eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    register_custom_datasets()
    check_datasets(cfg)
    precompute_flow(cfg, names)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        DetectionCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(
            cfg.MODEL.WEIGHTS, resume=args.resume
        )
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
