"""Training hooks: random state by iteration alone, and which checkpoints stay."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path

from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from pcsc_d2.data.drawing import SEEDING
from pcsc_d2.engine.checkpointing import FINAL, Checkpointer
from pcsc_d2.utils.files import atomic_write

logger = logging.getLogger(__name__)

BEST = "model_best"


class SeedEachIteration(HookBase):
    """Seed the random numbers of each iteration (sampled anchors and proposals) by its number, so
    that a resumed run draws the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def before_step(self) -> None:
        key = (self._seed, self.trainer.iter, comm.get_rank())
        # Loader threads may have seeded NumPy's generator for an augmentation.
        with SEEDING:
            # A tuple of ints hashes alike in every process.
            seed_all_rng(hash(key) % 2**31)


class RecentCheckpoints(hooks.PeriodicCheckpointer):
    """Detectron2's, which counts the checkpoints from before an interruption too.

    Args:
        checkpointer: of the model.
        period: in iterations.
        keep: how many of the latest stay; 0 for all.
    """

    def __init__(self, checkpointer: Checkpointer, period: int, keep: int) -> None:
        super().__init__(checkpointer, period, max_to_keep=keep or None)

    def before_train(self) -> None:
        super().before_train()
        if self.max_to_keep is None or self.trainer.start_iter == 0:
            return
        folder, names = Path(self.checkpointer.save_dir), f"{self.file_prefix}_{'[0-9]' * 7}.pth"
        every = sorted(str(path) for path in folder.glob(names))
        # Where the run ended before it could name the last one as such, it is written again.
        next_one = str(folder / f"{self.file_prefix}_{self.trainer.start_iter:07d}.pth")
        found = [path for path in every if path < next_one]
        # Each save removes one: those that a run with another number left over go first.
        for path in found[: -self.max_to_keep]:
            self.path_manager.rm(path)
        self.recent_checkpoints = found[-self.max_to_keep :]


class BestCheckpoint(HookBase):
    """Keep the model of the best evaluation as ``model_best.pth``, over interruptions too.

    Detectron2's forgets after an interruption which was the best.

    Args:
        checkpointer: of the model.
        period: of evaluation, in iterations.
        metric: its name as it is logged, such as ``video/AP50``; more is better.
    """

    def __init__(self, checkpointer: Checkpointer, period: int, metric: str) -> None:
        self._checkpointer, self._period, self._metric = checkpointer, period, metric
        self._best = -math.inf

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        # The last evaluation comes after training.
        if done % self._period == 0 and done < self.trainer.max_iter and self._is_best():
            self._checkpointer.save(BEST, iteration=self.trainer.iter)

    def after_train(self) -> None:
        if self.trainer.iter + 1 >= self.trainer.max_iter and self._is_best():
            final, best = (Path(self._checkpointer.save_dir, f"{n}.pth") for n in (FINAL, BEST))
            with atomic_write(best) as target, final.open("rb") as source:
                shutil.copyfileobj(source, target)

    def state_dict(self) -> dict[str, float]:
        return {"best": self._best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._best = state["best"]

    def _is_best(self) -> bool:
        """Whether what was evaluated just now is better than before; on the first rank, which
        alone scores."""
        if not comm.is_main_process():
            return False
        value, _ = self.trainer.storage.latest().get(self._metric, (math.nan, 0))
        if math.isnan(value):
            logger.warning("TEST.BEST_METRIC %s is not among what was evaluated", self._metric)
        if not value > self._best:
            return False
        self._best = value
        logger.info("%s.pth: %s %.2f", BEST, self._metric, value)
        return True
