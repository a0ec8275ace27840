"""Detectron2's trainer with this project's loaders, evaluator and hooks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import (
    AMPTrainer,
    DefaultTrainer,
    HookBase,
    SimpleTrainer,
    TrainerBase,
    create_ddp_model,
    hooks,
)
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn

from pcsc_d2.config import changed, uses_cached_features
from pcsc_d2.data import (
    evaluation_dicts,
    evaluation_loader,
    start_at,
    training_dicts,
    training_loader,
)
from pcsc_d2.engine.checkpointing import FINAL, Checkpointer
from pcsc_d2.engine.features import build_mapper, precompute_features
from pcsc_d2.engine.frozen_trunks import check_trunks
from pcsc_d2.engine.hooks import BestCheckpoint, RecentCheckpoints, SeedEachIteration
from pcsc_d2.engine.optimizer import build_optimizer
from pcsc_d2.engine.schedule import scheduled
from pcsc_d2.engine.statistics import estimate_statistics
from pcsc_d2.evaluation import TubeEvaluator, link_options, refine_options, with_trained_refinement
from pcsc_d2.modeling import building
from pcsc_d2.modeling.segments import judge_of
from pcsc_d2.parallel import shared_buffers, wait_for_all
from pcsc_d2.tubes import Judge

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trainer of a two-stream detector; ``--resume`` continues with the same random numbers.

    Args:
        cfg: of the run; epochs become iterations (``scheduled``).

    Raises:
        ValueError: a batch that the ranks cannot share.
    """

    def __init__(self, cfg: CfgNode) -> None:
        # Not DefaultTrainer's, which puts every process on a GPU.
        TrainerBase.__init__(self)
        self.cfg = cfg = scheduled(_with_seed(cfg))
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        trainer = step_trainer(cfg, model)
        devices = [torch.cuda.current_device()] if next(model.parameters()).is_cuda else None
        model = create_ddp_model(model, broadcast_buffers=False, device_ids=devices)
        self._trainer = trainer(model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        # Of the stream of clips, where this run began or went on.
        self._first_clip = 0
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Detectron2's; a final checkpoint that is damaged is written again."""
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if self.checkpointer.resumed is not None:
            self.start_iter = self.iter + 1
            if self.start_iter >= self.max_iter and self.checkpointer.resumed.stem != FINAL:
                self.checkpointer.save(FINAL, iteration=self.iter)
        if self.start_iter == 0:
            estimate_statistics(self.cfg, self._detector().flow)
        if uses_cached_features(self.cfg):
            check_trunks(self.cfg, self._detector())
        start_at(self.data_loader, self._first_clip)

    def state_dict(self) -> dict:
        done = self.iter + 1 - self.start_iter
        clips = self._first_clip + done * self.cfg.SOLVER.IMS_PER_BATCH
        return super().state_dict() | {"clips": clips}

    def load_state_dict(self, state_dict: dict) -> None:
        """Detectron2's; ValueError where the optimizer has other parameters than the run's."""
        try:
            super().load_state_dict(state_dict)
        except ValueError as error:
            raise ValueError(
                f"{self.cfg.OUTPUT_DIR}: its checkpoint is of a run that trained other weights, or "
                f"in other groups ({error}): --resume needs the same SOLVER.OPTIMIZER, "
                "SOLVER.TRUNK_FACTOR, MODEL.FLOW.SHARED_TRUNK and MODEL.I3D.FREEZE_AT"
            ) from error
        self._first_clip = state_dict.get(
            "clips", (state_dict["iteration"] + 1) * self.cfg.SOLVER.IMS_PER_BATCH
        )

    def build_hooks(self) -> list[HookBase]:
        return [SeedEachIteration(self.cfg.SEED), *self._usual_hooks()]

    def _usual_hooks(self) -> Iterator[HookBase | None]:
        """Detectron2's, with checkpoints pruned and the best one kept."""
        cfg, checkpointer = self.cfg, self.checkpointer
        for hook in super().build_hooks():
            if isinstance(hook, hooks.PeriodicCheckpointer):
                hook = RecentCheckpoints(
                    checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.KEEP
                )
            yield hook
            if isinstance(hook, hooks.EvalHook) and cfg.TEST.EVAL_PERIOD and cfg.TEST.BEST_METRIC:
                yield BestCheckpoint(checkpointer, cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC)

    def _detector(self) -> nn.Module:
        """The model itself, where it trains on several ranks too."""
        return self.model.module if hasattr(self.model, "module") else self.model

    def build_writers(self) -> list[EventWriter]:
        """Detectron2's; a line of metrics.json that a killed run left unfinished is dropped."""
        _drop_unfinished_line(Path(self.cfg.OUTPUT_DIR, "metrics.json"))
        return super().build_writers()

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Detectron2's; ValueError where a config has no model."""
        with building():
            return super().build_model(cfg)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """See ``engine.optimizer``."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict]]:
        precompute_features(cfg, train=True)
        return training_loader(cfg, training_dicts(cfg), build_mapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict]]:
        precompute_features(cfg, test=[dataset_name])
        dicts = evaluation_dicts(cfg, dataset_name)
        return evaluation_loader(cfg, dicts, build_mapper(cfg, is_train=False), dataset_name)

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, judge: Judge | None = None
    ) -> TubeEvaluator:
        output = Path(cfg.OUTPUT_DIR, "inference", dataset_name)
        sparse = cfg.TEST.KEY_FRAMES > 0
        return TubeEvaluator(
            dataset_name,
            output,
            cfg.TEST.TUBES.PROTOCOL,
            link_options=link_options(cfg) if cfg.TEST.TUBES.ON and not sparse else None,
            refine_options=refine_options(cfg),
            frame_ious=cfg.TEST.FRAME_IOUS,
            sparse=sparse,
            judge=judge,
        )

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> dict:
        """Detectron2's, refining tubes as the model was trained to."""
        shared_buffers(model)
        cfg = with_trained_refinement(cfg, model)
        if evaluators is None:
            judge = judge_of(getattr(model, "module", model))
            evaluators = [cls.build_evaluator(cfg, name, judge) for name in cfg.DATASETS.TEST]
        results = super().test(cfg, model, evaluators)
        # The first process links and scores, which may take longer than a collective may.
        wait_for_all()
        return results


class BFloat16Trainer(SimpleTrainer):
    """Steps in mixed precision on a CPU: Detectron2's AMPTrainer is for GPUs alone.

    bfloat16 has the range of float32, so that no loss has to be scaled. Convolutions of clips get
    the layout in which their kernels are fastest: a step of I3D takes a third less than without.
    """

    def __init__(self, model: nn.Module, *rest: object) -> None:
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)
        super().__init__(model, *rest)

    def run_step(self) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            super().run_step()


def step_trainer(cfg: CfgNode, model: nn.Module) -> type[SimpleTrainer]:
    """What runs the steps; on a CPU that would be slower in mixed precision, float32."""
    if not cfg.SOLVER.AMP.ENABLED:
        return SimpleTrainer
    if next(model.parameters()).is_cuda:
        return AMPTrainer
    if computes_bfloat16():
        return BFloat16Trainer
    logger.info("SOLVER.AMP.ENABLED: this processor has no AVX-512 BF16; training in float32")
    return SimpleTrainer


def computes_bfloat16() -> bool:
    """Whether the processor computes in bfloat16; PyTorch before 2.6 does not tell."""
    tell = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return tell is not None and tell()


def _drop_unfinished_line(path: Path) -> None:
    if path.is_file():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _with_seed(cfg: CfgNode) -> CfgNode:
    """Without a seed a resumed run could not draw what the interrupted one would have drawn."""
    if cfg.SEED >= 0:
        return cfg
    return changed(cfg, {"SEED": comm.shared_random_seed() % 2**31})
