"""Train or evaluate a two-stream action detector."""

from __future__ import annotations

import argparse

from pcsc_d2.config import uses_cached_features
from pcsc_d2.data import precompute_flow
from pcsc_d2.engine.checkpointing import Checkpointer
from pcsc_d2.engine.features import looks_at_maps, precompute_features
from pcsc_d2.engine.frozen_trunks import check_trunks
from pcsc_d2.engine.schedule import scheduled
from pcsc_d2.engine.setup import naming_divergence, save_config, setup, writing_to
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.modeling import require_detector, what_is_incomplete
from pcsc_d2.modeling.inference import engine_for, prepare_for_inference
from pcsc_d2.runtime import Engine


def train(args: argparse.Namespace) -> dict | None:
    """Train, or with ``--eval-only`` evaluate; the scores, where there are any to return.

    Args:
        args: of Detectron2's ``default_argument_parser``, or of ``pcsc train``.

    Raises:
        ValueError: to evaluate, weights that lack stages.
    """
    cfg = setup(args)
    names = cfg.DATASETS.TEST if args.eval_only else (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    if not args.eval_only:
        cfg = scheduled(cfg)
        save_config(cfg)
    precompute_flow(cfg, names)
    precompute_features(cfg, test=cfg.DATASETS.TEST, train=not args.eval_only)
    if args.eval_only:
        engine = engine_for(cfg, cfg.TEST.ENGINE, cfg.TEST.PRECISION)
        model = Trainer.build_model(cfg)
        require_detector(cfg, model)
        checkpointer = Checkpointer(model, cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        if uses_cached_features(cfg):
            check_trunks(cfg, model)
        incomplete = what_is_incomplete(cfg, model)
        if incomplete:
            raise ValueError(incomplete)
        # Trunks that see no clips are not worth compiling.
        engine = Engine() if looks_at_maps(cfg, False) else engine
        required = cfg.TEST.ENGINE != "auto"
        prepare_for_inference(model.eval(), cfg.INPUT.CLIP_LENGTH, engine, required)
        return Trainer.test(cfg, model)
    with writing_to(cfg.OUTPUT_DIR), naming_divergence():
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()
