"""Detectron2's trainer with this project's loaders, evaluator and hooks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from ..data import ClipMapper, ResumableTrainingSampler, TrainingClips, training_dicts
from ..evaluation import TubeEvaluator, link_options, refine_options, with_trained_refinement
from .epochs import epochs_to_iterations
from .hooks import SeedEachIteration, StageWarmup


class Trainer(DefaultTrainer):
    """Trains and evaluates a two-stream detector; ``--resume`` goes on exactly."""

    def __init__(self, cfg: CfgNode) -> None:
        # Without a seed a resumed run could not draw what the interrupted one would have drawn.
        if cfg.SEED < 0:
            cfg = cfg.clone()
            cfg.defrost()
            cfg.SEED = comm.shared_random_seed() % 2**31
        super().__init__(epochs_to_iterations(cfg))

    def resume_or_load(self, resume: bool = True) -> None:
        super().resume_or_load(resume)
        self.data_loader.dataset.sampler.start = self.start_iter * self.cfg.SOLVER.IMS_PER_BATCH

    def build_hooks(self) -> list[HookBase]:
        model = self.model.module if hasattr(self.model, "module") else self.model
        warmup = StageWarmup(model.roi_heads, self.cfg.MODEL.COOPERATION.WARMUP_ITERS)
        return [SeedEachIteration(self.cfg.SEED), warmup, *super().build_hooks()]

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict]]:
        dicts = training_dicts(cfg)
        return build_detection_train_loader(
            TrainingClips(dicts, ClipMapper(cfg, is_train=True), cfg.SEED),
            mapper=None,
            sampler=ResumableTrainingSampler(len(dicts), seed=cfg.SEED),
            total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
            # Grouping would hold clips back, and a resumed run could not know which.
            aspect_ratio_grouping=False,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            # A loader without a seed takes one from the generator that the model draws from, in
            # its first iteration: another one in a resumed run.
            seed=cfg.SEED,
        )

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict]]:
        return build_detection_test_loader(
            cfg, dataset_name, mapper=ClipMapper(cfg, is_train=False)
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> TubeEvaluator:
        output = Path(cfg.OUTPUT_DIR, "inference", dataset_name)
        return TubeEvaluator(
            dataset_name,
            output,
            cfg.TEST.TUBES.PROTOCOL,
            link_options=link_options(cfg) if cfg.TEST.TUBES.ON else None,
            refine_options=refine_options(cfg),
        )

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> dict:
        """Detectron2's, refining tubes as the model's actionness head was trained to."""
        return super().test(with_trained_refinement(cfg, model), model, evaluators)
