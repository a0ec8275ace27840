"""Training hooks: stage 0 first, and a random state that depends on the iteration alone."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import nn

logger = logging.getLogger(__name__)


class SeedEachIteration(HookBase):
    """Seed the random numbers of each iteration (sampled anchors and proposals) by its number, so
    that a resumed run draws the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_step(self) -> None:
        key = (self._seed, self.trainer.iter, comm.get_rank())
        # A tuple of ints hashes alike in every process.
        seed_all_rng(hash(key) % 2**31)


class StageWarmup(HookBase):
    """Train stage 0 alone at first, then start each later head from its stream's stage 0.

    Image-level messages are off during the warm-up too: with them, a stream learns to rely on the
    other one before it has learned its own cue.

    Args:
        model: ``TwoStreamRCNN``.
        iterations: length of the warm-up; 0 for none.
    """

    def __init__(self, model: nn.Module, iterations: int) -> None:
        self._model = model
        self._iterations = iterations
        self._all = model.roi_heads.active_stages

    def before_step(self) -> None:
        self._cooperate(self.trainer.iter >= self._iterations)
        if 0 < self._iterations == self.trainer.iter and self._all:
            self._model.roi_heads.start_stages_from_stage0()
            logger.info("warm-up over: %d stages start from stage 0's heads", self._all)

    def after_train(self) -> None:
        self._cooperate(True)

    def _cooperate(self, on: bool) -> None:
        self._model.roi_heads.active_stages = self._all if on else 0
        self._model.active_messages = on
