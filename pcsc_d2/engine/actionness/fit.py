"""Fitting the actionness head to collected samples, and what it says of others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import nn
from tqdm import tqdm

from pcsc_d2.config import changed
from pcsc_d2.engine.actionness.samples import POSITIVE, SampleStore, Shard, load_features
from pcsc_d2.engine.actionness.task import keep, resumed
from pcsc_d2.modeling import build_actionness_head

logger = logging.getLogger(__name__)

# A class whose training tubes hold few boxes of a label counts at most so much more for each.
MAX_WEIGHT = 50.0
# Logit of a class that no training tube follows: its tubes are left as they are.
UNSEEN = 6.0
PREDICT_BATCH = 4096


def fit(cfg: CfgNode, head: nn.Module, store: SampleStore, state: Path | None = None) -> nn.Module:
    """Train a head on the samples of a store, in place (Section 3.4).

    Most boxes are negative, and most of those of tubes that have nothing to do with their class;
    so each epoch draws other ones of them (``draw_rates``), and every pair of class and label
    counts alike, whatever its number of boxes. The outcome depends on the seed and the samples
    alone: with ``state`` each epoch is kept, and an interrupted fit goes on from there to the same
    end.

    Args:
        cfg: ``SOLVER.ACTIONNESS`` and ``SEED``.
        head: a fresh ``ActionnessHead``.
        state: file of an interrupted fit.
    """
    node = cfg.SOLVER.ACTIONNESS
    counts = store.counts(head.num_classes)
    _say(counts)
    rates = draw_rates(counts, node.NEGATIVES)
    weights = torch.as_tensor(class_weights(counts * rates), dtype=torch.float32)
    head.requires_grad_(True)
    optimizer = torch.optim.AdamW(head.parameters(), node.BASE_LR, weight_decay=node.WEIGHT_DECAY)
    done = resumed(state, head, optimizer)
    if done == 0:
        standardise(head, store)
    head.train()
    with tqdm(
        total=node.EPOCHS,
        initial=done,
        desc="fitting actionness",
        unit="epoch",
        disable=not comm.is_main_process(),
    ) as bar:
        for epoch in range(done, node.EPOCHS):
            # From the full rate down to a tenth.
            for group in optimizer.param_groups:
                group["lr"] = node.BASE_LR * (1 - 0.9 * epoch / max(node.EPOCHS - 1, 1))
            loss = _train_epoch(cfg, head, optimizer, store, (rates, weights), epoch)
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update(1)
            keep(state, epoch + 1, head, optimizer)
    head.eval().requires_grad_(False)
    _leave_unseen_alone(head, counts)
    return head


@dataclass(frozen=True)
class ActionnessTask:
    """The actionness head (``MODEL.ACTIONNESS``) as a ``Task``."""

    cfg: CfgNode
    name: ClassVar[str] = "actionness"

    @staticmethod
    def turned_on(cfg: CfgNode) -> CfgNode:
        """See ``Task``."""
        return changed(cfg, {"MODEL.ACTIONNESS.ON": True, "MODEL.SEGMENTS.ON": False})

    @property
    def kind(self) -> str:
        return self.cfg.MODEL.ACTIONNESS.FEATURES

    @property
    def windows(self) -> tuple[int, ...]:
        return self.cfg.SOLVER.ACTIONNESS.WINDOWS

    def new(self, shape: ShapeSpec) -> nn.Module:
        """See ``Task``."""
        return build_actionness_head(self.cfg, shape)

    def network(self, model: nn.Module) -> nn.Module:
        """See ``Task``."""
        return model.roi_heads.actionness_head

    def settings(self) -> object:
        """See ``Task``."""
        solver = self.cfg.SOLVER.ACTIONNESS.items()
        fitted = [pair for pair in solver if pair[0] not in ("WINDOWS", "THRESHOLDS")]
        return sorted(fitted), sorted(self.cfg.MODEL.ACTIONNESS.items())

    def fit(self, network: nn.Module, files: Sequence[Path], state: Path) -> None:
        """See ``Task``."""
        fit(self.cfg, network, sample_store(self.cfg, files), state)

    def predict(self, network: nn.Module, files: Sequence[Path]) -> list[np.ndarray]:
        """See ``Task``."""
        return predict_videos(network, sample_store(self.cfg, files))


def draw_rates(counts: np.ndarray, negatives: float) -> np.ndarray:
    """Share (C, 3) of the boxes that an epoch looks at, from counts (C, 3) by class and group:
    all positive ones, and of either group of negatives ``negatives`` for each positive one of
    their class."""
    wanted = negatives * counts[:, POSITIVE, None]
    rates = np.minimum(wanted / np.maximum(counts, 1), 1.0)
    rates[:, POSITIVE] = 1.0
    return rates


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Weight (C, 3) of a box by class and group from counts (C, 3) of those looked at: every pair
    of class and label that occurs counts alike, but no box more than ``MAX_WEIGHT`` times the
    average one."""
    positive = counts[:, POSITIVE]
    pairs = np.stack([counts.sum(axis=1) - positive, positive], axis=1).astype(np.float64)
    mean = pairs.sum() / max((pairs > 0).sum(), 1)
    weights = np.minimum(mean / np.maximum(pairs, 1e-9), MAX_WEIGHT)
    weights[pairs == 0] = 0.0
    return weights[:, [0, 0, 1]]


@torch.no_grad()
def standardise(head: nn.Module, store: SampleStore) -> None:
    """Set the head's mean and standard deviation by channel to those of the samples."""
    total, squares, number = 0.0, 0.0, 0
    for shard in store.shards():
        for part in _batches(shard.features, PREDICT_BATCH):
            values = torch.from_numpy(part).double()
            total = total + values.sum(dim=(0, 2, 3))
            squares = squares + values.square().sum(dim=(0, 2, 3))
            number += values.numel() // values.shape[1]
    if number:
        mean = total / number
        std = (squares / number - mean.square()).clamp(min=0).sqrt()
        head.mean.copy_(mean.view(-1, 1, 1))
        # A channel that never differs tells nothing, whatever it is divided by.
        head.std.copy_(torch.where(std > 1e-4, std, torch.ones_like(std)).view(-1, 1, 1))


@torch.no_grad()
def predict(head: nn.Module, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Actionness (n,) float32 of boxes with features (n, C, S, S) for their classes (n,)."""
    head.eval()
    device = next(head.parameters()).device
    values = []
    for begin in range(0, len(features), PREDICT_BATCH):
        part = slice(begin, begin + PREDICT_BATCH)
        found = Instances((1, 1), pred_classes=torch.from_numpy(classes[part]).to(device))
        head(torch.from_numpy(features[part]).to(device), [found])
        values.append(found.actionness.cpu().numpy())
    return np.concatenate(values) if values else np.zeros(0, np.float32)


def predict_videos(head: nn.Module, store: SampleStore) -> list[np.ndarray]:
    """Actionness (M,) of the boxes of each video of a store, filled ones included."""
    values = []
    for path, samples in zip(store.files, store.samples):
        if not len(samples.rows):
            values.append(np.zeros(0, np.float32))
            continue
        features = load_features(path, store.kind)
        # A detection is in one tube, so that it has one class.
        classes = np.zeros(len(features), np.int64)
        classes[samples.rows] = samples.classes
        values.append(predict(head, features, classes)[samples.rows])
    return values


def sample_store(cfg: CfgNode, files: Sequence[Path]) -> SampleStore:
    """The samples of files as the config reads them."""
    node, memory = cfg.MODEL.ACTIONNESS, cfg.SOLVER.ACTIONNESS.MEMORY_MB << 20
    return SampleStore(files, node.FEATURES, memory, node.LABEL_IOU)


def _train_epoch(
    cfg: CfgNode,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    store: SampleStore,
    balance: tuple[np.ndarray, torch.Tensor],
    epoch: int,
) -> float:
    """One pass, over boxes and in an order that seed and epoch decide; the mean loss.

    ``balance`` holds how many boxes are drawn and what they weigh, by class and group.
    """
    generator = np.random.default_rng([abs(cfg.SEED), epoch])
    rates, weights = balance
    losses = []
    for i in generator.permutation(len(store)):
        shard = store.shard(int(i))
        chance = rates[shard.classes, shard.groups]
        order = generator.permutation(np.flatnonzero(generator.random(len(chance)) < chance))
        for rows in _batches(order, cfg.SOLVER.ACTIONNESS.BATCH_SIZE):
            losses.append(_step(head, optimizer, shard, rows, weights))
    return float(np.mean(losses)) if losses else 0.0


def _step(
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    shard: Shard,
    rows: np.ndarray,
    weights: torch.Tensor,
) -> float:
    classes, groups = torch.from_numpy(shard.classes[rows]), torch.from_numpy(shard.groups[rows])
    device = next(head.parameters()).device
    sample = Instances((1, 1), pred_classes=classes, gt_actionness=(groups == POSITIVE).long())
    sample.loss_weights = weights[classes, groups]
    sample = sample.to(device)
    loss = head(torch.from_numpy(shard.features[rows]).to(device), [sample])["loss_actionness"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _say(counts: np.ndarray) -> None:
    _, confusing, positive = counts.sum(axis=0)
    logger.info(
        "%d boxes of tubes to learn from: %d positive, %d of the same tubes negative",
        counts.sum(),
        positive,
        confusing,
    )


@torch.no_grad()
def _leave_unseen_alone(head: nn.Module, counts: np.ndarray) -> None:
    """A classifier that saw no positive box says yes, so that refinement leaves its class alone."""
    unseen = np.flatnonzero(counts[:, POSITIVE] == 0)
    if head.class_specific and unseen.size:
        logger.warning(
            "classes %s are not refined: no training tube follows their ground truth",
            unseen.tolist(),
        )
        head.predictor.weight[unseen] = 0.0
        head.predictor.bias[unseen] = UNSEEN
